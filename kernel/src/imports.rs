//! Imports that evcxr drops from what it remembers: names and `*` in braces without a path of their own before them.
//!
//! For `use std::cmp::Ordering::{self, *};` the next cell knows `Ordering` and not `Less`. So what is dropped is written
//! once more behind it, on the same line, in the form that is remembered.

use ra_ap_syntax::ast::{self, HasAttrs, HasModuleItem};
use ra_ap_syntax::{AstNode, Edition, SourceFile};

/// Parsed code stands in a function, as where evcxr parses it.
const BEFORE: &str = "fn f(){";

/// The same code, in which every import is remembered.
pub fn as_remembered(code: &str) -> String {
    if !code.contains("use ") || !code.contains('{') {
        return code.to_string();
    }
    let file = SourceFile::parse(&format!("{BEFORE}{code}\n}}"), Edition::CURRENT);
    let function = file.tree().items().next().and_then(|item| ast::Fn::cast(item.syntax().clone()));
    let Some(statements) = function.and_then(|function| function.body()?.stmt_list()) else { return code.to_string() };
    let mut text = code.to_string();
    let imports: Vec<_> = statements.syntax().children().filter_map(ast::Use::cast).collect();
    // From the last one, so that the places of those before stay.
    for import in imports.into_iter().rev() {
        let mut dropped = Vec::new();
        if let Some(tree) = import.use_tree() {
            collect(&tree, "", false, &mut dropped);
        }
        let end = usize::from(import.syntax().text_range().end()) - BEFORE.len();
        // An attribute, as `#[cfg(...)]`, is for the import as it is written.
        if import.attrs().next().is_none() && end <= text.len() {
            let more: String = dropped.iter().map(|path| format!(" use {path};")).collect();
            text.insert_str(end, &more);
        }
    }
    text
}

/// Collects the imports below `tree` that evcxr drops; `is_dropped` says that all of them are.
fn collect(tree: &ast::UseTree, prefix: &str, is_dropped: bool, dropped: &mut Vec<String>) {
    let path = tree.path().map(|path| path.syntax().text().to_string());
    let joined = match (&path, prefix) {
        (Some(path), "") => path.clone(),
        (Some(path), prefix) => format!("{prefix}::{path}"),
        (None, prefix) => prefix.to_string(),
    };
    let is_dropped = is_dropped || path.is_none();
    if let Some(list) = tree.use_tree_list() {
        list.use_trees().for_each(|below| collect(&below, &joined, is_dropped, dropped));
    } else if is_dropped && !joined.is_empty() {
        let star = if tree.star_token().is_some() { "::*" } else { "" };
        let rename = tree.rename().map(|rename| format!(" {}", rename.syntax().text())).unwrap_or_default();
        dropped.push(format!("{}{star}{rename}", joined.trim_end_matches("::self")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_evcxr_drops_is_written_once_more() {
        for (code, more) in [
            ("use std::cmp::Ordering::{self, *};", " use std::cmp::Ordering::*;"),
            ("use a::{b::{c, *}, d};", " use a::b::*;"),
            ("use {std::fs, std::io as x};", " use std::fs; use std::io as x;"),
            ("use std::cmp::Ordering::*;", ""),
            ("use std::{fs, io::{self, Read as _}};", ""),
        ] {
            assert_eq!(as_remembered(code), format!("{code}{more}"));
        }
    }

    #[test]
    fn lines_and_other_code_stay_where_they_are() {
        let code = "use a::{\n    self, *,\n};\nlet x = 1; use b::{*};\nfn f() { use c::{*}; }";
        let wanted = "use a::{\n    self, *,\n}; use a::*;\nlet x = 1; use b::{*}; use b::*;\nfn f() { use c::{*}; }";
        assert_eq!(as_remembered(code), wanted);
        assert_eq!(as_remembered("f();"), "f();");
    }
}
