//! Images to learn from, and where they come from: one file per source.
//!
//! An image is `[c, h, w]` with pixels in -1..=1; a set of them is `[n, c, h, w]`. Sources of 8-bit images stay 8-bit in
//! memory (value `v` stands for `v / 127.5 - 1`); the network scales them on its own device, a batch at a time.
//!
//! [`open`] recognises a source by name or by path and returns a [`Split`]; [`Split::hold_out`] turns it into the
//! report's experiment. Nothing is downloaded unless [`download`] is called; nothing is drawn here.

mod arrays;
mod blocks;
mod cifar;
mod class_folders;
mod classes;
mod description;
mod dice;
mod download;
mod drawing;
mod floats;
mod homework;
mod http;
mod idx;
mod images;
mod layout;
mod listing;
mod npy;
mod npz;
mod open;
mod opened;
mod options;
mod photographs;
mod pickle;
mod pixels;
mod resize;
mod scenes;
mod set_aside;
mod split;
mod statistics;
mod stream;
mod surfaces;
mod unpack;

pub use description::DataDescription;
pub(crate) use description::fingerprint_of_all_classes;
pub use download::{Download, download};
pub use floats::PixelRange;
pub use images::Images;
pub use open::{names, open, open_with};
pub use options::OpenOptions;
pub use pixels::ImageShape;
pub(crate) use pixels::Pixels;
pub use split::Split;
pub use statistics::ImageStatistics;
pub use stream::{ImageStream, Part};
pub use surfaces::{surface_masks, write_surfaces};
