//! Figures: functions that take plain arrays and give a [`Figure`], which owns its bytes, size and alternative text.
//!
//! Adding a figure means copying one small file: `canvas` places text, pictures and charts, `axes` gives every chart
//! its axes, ticks and legend, `style` holds the letters and colours. No font is needed: text stays text in an SVG, and
//! the room that it takes is estimated from above. Nothing here prints, and only [`Figure::save`] touches a file.

mod axes;
mod canvas;
mod curves;
mod heat_map;
mod histogram;
mod image_grid;
mod line_chart;
mod pair_grid;
mod raster;
mod scatter;
mod style;

pub use curves::{Curves, curves};
pub use heat_map::{HeatMap, heat_map};
pub use histogram::{AxisRange, Histogram, HistogramPanel, histogram};
pub use image_grid::{CaptionedImage, image_grid, picture};
pub use line_chart::{LineChart, Mark, Series, line_chart};
pub use pair_grid::{Pair, PairBlock, pair_grid};
pub use scatter::{Scatter, ScatterPanel, scatter};

pub(crate) use canvas::{clean, escape};
pub(crate) use style::number;

use crate::files::write_whole;
use crate::{Error, Result};
use std::fmt;
use std::path::Path;

/// The file format of a [`Figure`].
///
/// # Example
/// ```
/// use diabolo::figure::Format;
/// assert_eq!((Format::Svg.mime_type(), Format::Svg.extension()), ("image/svg+xml", "svg"));
/// assert_eq!((Format::Png.mime_type(), Format::Png.extension()), ("image/png", "png"));
/// assert_eq!(Format::Png.to_string(), "PNG");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Scalable drawing as XML text; pictures inside it are embedded PNGs.
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// The MIME type, as in "image/svg+xml".
    pub fn mime_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
        }
    }

    /// The extension of its files, as in "svg".
    pub fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Svg => "SVG",
            Self::Png => "PNG",
        })
    }
}

/// A finished figure: the same data always give the same bytes.
///
/// As the last expression of a notebook cell it shows itself; [`Figure::save`] writes it to a file.
///
/// # Example
/// ```
/// use diabolo::figure::{Format, picture};
/// let figure = picture(&diabolo::ndarray::Array3::zeros((1, 28, 28)), 2, "a grey square")?;
/// assert_eq!((figure.format(), figure.width_px(), figure.height_px()), (Format::Png, 56, 56));
/// assert_eq!(figure.to_string(), "figure 56 x 56 px (PNG): a grey square");
/// assert_eq!(figure.alt(), "a grey square");
/// assert!(figure.bytes().starts_with(b"\x89PNG"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Clone)]
pub struct Figure {
    bytes: Vec<u8>,
    format: Format,
    width_px: u32,
    height_px: u32,
    alt: String,
}

impl Figure {
    /// The bytes of an SVG or PNG file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the bytes are SVG or PNG.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Width in CSS pixels.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height in CSS pixels.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// What the figure shows, in words, for those who cannot see it.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// Writes the figure to a file, whose extension must fit the format (`svg` for most figures).
    ///
    /// The file is written under another name beside `path` and then renamed, so that a file of that name is either the
    /// old one or the whole new one.
    ///
    /// # Errors
    /// [`Error::Setting`] for another extension; [`Error::File`] with the path where the folder is missing, closed to
    /// writing, or full.
    ///
    /// # Example
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// let figure = diabolo::figure::picture(&diabolo::ndarray::Array3::zeros((1, 28, 28)), 2, "a grey square")?;
    /// figure.save(folder.join("grey.png"))?;
    /// assert_eq!(std::fs::read(folder.join("grey.png")).unwrap(), figure.bytes());
    ///
    /// let message = figure.save(folder.join("grey.svg")).unwrap_err().to_string();
    /// assert!(message.contains("grey.png"), "{message}");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let wanted = self.format.extension();
        if !path.extension().is_some_and(|found| found.eq_ignore_ascii_case(wanted)) {
            return Err(Error::setting(
                "path",
                path.display().to_string(),
                format!("a file name that ends in .{wanted}, since this figure is {}", self.format),
                format!("save it as \"{}\"", path.with_extension(wanted).display()),
            ));
        }

        write_whole(path, &self.bytes)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, width_px, height_px, alt, .. } = self;
        write!(f, "figure {width_px} x {height_px} px ({format}): {alt}")
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figure")
            .field("format", &self.format)
            .field("width_px", &self.width_px)
            .field("height_px", &self.height_px)
            .field("n_bytes", &self.bytes.len())
            .field("alt", &self.alt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot() -> Figure {
        picture(&ndarray::Array3::zeros((1, 1, 1)), 8, "a grey dot").unwrap()
    }

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("diabolo-figure-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_saved_figure_is_its_bytes_and_leaves_nothing_else() {
        let folder = folder("saved");
        std::fs::write(folder.join("dot.PNG"), "an older file").unwrap();
        dot().save(folder.join("dot.PNG")).unwrap();
        assert_eq!(std::fs::read(folder.join("dot.PNG")).unwrap(), dot().bytes());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_extension_is_an_error_that_names_the_right_one() {
        for path in ["dot.svg", "dot", "", "folder/"] {
            let message = dot().save(path).unwrap_err().to_string();
            assert!(message.contains("ends in .png, since this figure is PNG"), "{message}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_path() {
        let path = folder("missing").join("none").join("dot.png");
        let message = dot().save(&path).unwrap_err().to_string();
        assert!(message.starts_with(&format!("saving {}: ", path.display())), "{message}");
    }

    #[test]
    fn a_failed_save_leaves_the_old_things_alone() {
        let folder = folder("failed");
        // A folder of the figure's name cannot be replaced by a file.
        std::fs::create_dir_all(folder.join("dot.png")).unwrap();
        assert!(dot().save(folder.join("dot.png")).is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "the file that was written aside is gone");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_figure_prints_its_size_and_alt_text_but_no_bytes() {
        assert_eq!(dot().to_string(), "figure 8 x 8 px (PNG): a grey dot");
        let debug = format!("{:?}", dot());
        assert!(debug.contains("n_bytes") && !debug.contains("bytes: ["), "{debug}");
    }
}
