//! What the CSV files of a class have in common: how their columns are found.

/// The name of an image, in the order of preference.
pub const ID_COLUMNS: [&str; 3] = ["id", "image", "file"];

/// The names of the columns, in lower case.
pub fn names_of(headers: &csv::StringRecord) -> Vec<String> {
    headers.iter().map(str::to_lowercase).collect()
}

/// Where the first of `wanted` stands that there is.
pub fn position_of(wanted: &[&str], names: &[String]) -> Option<usize> {
    wanted.iter().find_map(|wanted| names.iter().position(|name| name == wanted))
}

/// A text without the mark by which some programs say that it is UTF-8.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}
