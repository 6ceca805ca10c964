//! Which image files a folder holds, however deep, and what else.

use crate::{Error, Result, interrupt};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the names of image files end in.
const ENDINGS: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif", "pgm", "ppm", "pnm"];

/// Folders of thumbnails and of notes that systems leave behind: Synology's, and macOS's in archives.
const SYSTEM_FOLDERS: [&str; 2] = ["@eaDir", "__MACOSX"];
const SYSTEM_FILES: [&str; 2] = ["thumbs.db", "desktop.ini"];

/// Whether the name of a file is that of an image.
fn is_image_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Image files as paths within the folder, sorted.
    pub(super) images: Vec<PathBuf>,
    /// How many other files there are, by what their names end in; those of the system apart.
    others: BTreeMap<String, usize>,
    n_lost_links: usize,
}

impl Listing {
    /// What else is there, in words; `None` for nothing.
    pub(super) fn others(&self) -> Option<String> {
        let n_others: usize = self.others.values().sum();
        let kinds = self.others.iter().map(|(ending, n)| format!("{n} {ending}")).collect::<Vec<_>>().join(", ");
        let others = (n_others > 0).then(|| format!("{n_others} files that are no images ({kinds})"));
        let lost = (self.n_lost_links > 0).then(|| format!("{} links that lead nowhere", self.n_lost_links));
        let both = Vec::from_iter(others.into_iter().chain(lost));
        (!both.is_empty()).then(|| both.join(", "))
    }

    fn add_other(&mut self, path: &Path) {
        let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy().to_lowercase()));
        *self.others.entry(ending.unwrap_or("without an ending".into())).or_default() += 1;
    }
}

/// A folder that is still to be listed.
struct Inner {
    /// Its path within the whole.
    inside: PathBuf,
    /// Real folders from which links led here: no link leads into them again.
    from: Vec<PathBuf>,
}

/// Finds all image files below a folder. Links are followed, but none leads back to where it came from; hidden entries
/// are left out.
///
/// # Errors
/// [`Error::File`] for a folder that cannot be listed.
pub(super) fn list(folder: &Path) -> Result<Listing> {
    let explain = |source| Error::file("listing", folder, "check the path and the permissions", source);
    let mut found = Listing::default();
    let mut folders = vec![Inner { inside: PathBuf::new(), from: Vec::new() }];
    while let Some(Inner { inside, from }) = folders.pop() {
        interrupt::check("listing image files")?;
        for entry in std::fs::read_dir(folder.join(&inside)).map_err(explain)? {
            let entry = entry.map_err(explain)?;
            let (name, path) = (entry.file_name(), inside.join(entry.file_name()));
            let text = name.to_string_lossy();
            if text.starts_with('.') || SYSTEM_FILES.iter().any(|known| text.eq_ignore_ascii_case(known)) {
                continue;
            }
            let is_link = entry.file_type().map_err(explain)?.is_symlink();
            let Ok(target) = entry.path().metadata() else {
                // What is gone since, or never was where a link leads.
                found.n_lost_links += usize::from(is_link);
                continue;
            };
            if target.is_dir() && SYSTEM_FOLDERS.contains(&&*text) {
                continue;
            } else if target.is_dir() && is_link {
                let real = |path: &Path| path.canonicalize().map_err(explain);
                let (here, there) = (real(&folder.join(&inside))?, real(&entry.path())?);
                let from = Vec::from_iter(from.iter().cloned().chain([here]));
                match from.iter().any(|before| before.starts_with(&there)) {
                    true => found.n_lost_links += 1,
                    false => folders.push(Inner { inside: path, from }),
                }
            } else if target.is_dir() {
                folders.push(Inner { inside: path, from: from.clone() });
            } else if target.is_file() && is_image_file(&path) {
                found.images.push(path);
            } else {
                found.add_other(&path);
            }
        }
    }
    found.images.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_images_are_listed_and_those_of_inner_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["b", "@eaDir", "b/__MACOSX"] {
            fs::create_dir(folder.path().join(inner)).unwrap();
        }
        let names =
            ["b/2.PNG", "a.jpeg", "c.jfif", "notes.txt", ".hidden.png", "Thumbs.db", "@eaDir/a.jpeg", "b/README"];
        for name in names.iter().chain(&["b/__MACOSX/2.png"]) {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let listing = list(folder.path()).unwrap();
        assert_eq!(listing.images, [Path::new("a.jpeg"), Path::new("b/2.PNG"), Path::new("c.jfif")]);
        assert_eq!(listing.others().unwrap(), "2 files that are no images (1 .txt, 1 without an ending)");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_none_goes_in_a_circle() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (whole, apart) = (folder.path().join("whole"), folder.path().join("apart"));
        for inner in [whole.join("dog"), apart.clone()] {
            fs::create_dir_all(inner).unwrap();
        }
        fs::write(whole.join("dog/1.png"), b"").unwrap();
        fs::write(apart.join("2.png"), b"").unwrap();
        symlink(&apart, whole.join("cat")).unwrap();
        symlink(apart.join("2.png"), whole.join("dog/2.png")).unwrap();
        symlink(apart.join("3.png"), whole.join("dog/3.png")).unwrap();
        // Up to where it came from, and two that lead to each other.
        symlink(&whole, whole.join("dog/up")).unwrap();
        symlink(whole.join("dog"), apart.join("dog")).unwrap();
        let listing = list(&whole).unwrap();
        let images = listing.images.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(images, ["cat/2.png", "cat/dog/1.png", "cat/dog/2.png", "dog/1.png", "dog/2.png"]);
        assert!(listing.others().unwrap().contains("links that lead nowhere"), "{:?}", listing.others());
    }
}
