//! Results of earlier versions, which had one file for all trainings of a sweep.

use super::folder::{SweepFolder, is_not_there};
use super::{Sweep, SweepSettings};
use crate::{Error, Result};
use std::path::Path;

pub(super) const OF_UNKNOWN_IMAGES: &str = "results of an earlier version, which do not say of which images they are";

/// Gives the rows of the version before, which had one file for all, files of their own; says what of older versions is not
/// used.
pub(super) fn adopt_earlier_versions(
    folder: &SweepFolder,
    within: &Path,
    settings: &SweepSettings,
    seeds: &[u64],
) -> Result<Option<String>> {
    let mut note = None;
    for settings in seeds.iter().map(|&seed| settings.with_seed(seed)) {
        let path = settings.file_of_earlier_versions(within);
        match Sweep::read(&path) {
            Ok(earlier) => {
                if let Some(difference) = earlier.settings.difference(&settings) {
                    let found = format!("results of other settings: {difference}");
                    return Err(Error::format(&path, found, "those asked for", "move the file away"));
                }
                earlier.rows.into_iter().filter(|row| !folder.has(&row.item())).try_for_each(|row| folder.save(row))?;
            }
            Err(error) if is_not_there(&error) => {}
            Err(error) => return Err(error),
        }
        let without_identity = settings.without_identity().file_of_earlier_versions(within);
        if without_identity.exists() {
            note =
                Some(format!("{} was not used: {OF_UNKNOWN_IMAGES}; Sweep::open shows it", without_identity.display()));
        }
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{drawn, small, sweep_of};
    use super::super::{Pair, run};
    use super::*;
    use crate::run::write_json;
    use std::ops::ControlFlow;

    #[test]
    fn results_that_do_not_say_of_which_images_stay_readable_and_are_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (experiment, split) = (small(), drawn());
        let settings = SweepSettings::new(&experiment, &split).unwrap().without_identity();
        let held_out: Pair = ["dots".into(), "waves".into()];
        let row = sweep_of("fcn", &[("dots", "waves", "reconstruction", 0.9)]).rows;
        let older = Sweep { format_version: 1, ..Sweep::new(settings.clone(), row) };
        let path = settings.file_of_earlier_versions(folder.path());
        write_json(&path, &older).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("fingerprint"), "as the version before wrote it");

        let opened = Sweep::open(&path).unwrap();
        assert_eq!(opened.rows, older.rows);
        assert!(opened.to_string().contains("do not say of which images they are"), "{opened}");
        let sweep = run(&experiment, &split, &[held_out], folder.path(), |_| ControlFlow::Continue(())).unwrap();
        assert_ne!(sweep.rows, older.rows);
        assert!(sweep.to_string().contains(&format!("{} was not used", path.display())), "{sweep}");
        assert_eq!(Sweep::open(&path).unwrap(), opened, "and stays as it was");
    }

    #[test]
    fn the_one_file_of_the_version_before_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let (experiment, split) = (small().seeds(&[7, 0]), drawn());
        let settings = SweepSettings::new(&experiment, &split).unwrap();
        let mut rows = sweep_of("fcn", &[("dots", "waves", "reconstruction", 0.9)]).rows;
        rows[0].seed = 7;
        let before = Sweep { format_version: 2, ..Sweep::new(settings.clone(), rows) };
        let path = settings.file_of_earlier_versions(folder.path());
        let json = serde_json::to_string(&before).unwrap().replace("],\"seed\":7,", "],");
        assert!(json.contains("\"waves\"],\"auc\""), "as that version wrote it, without seeds: {json}");
        std::fs::write(&path, &json).unwrap();
        assert_eq!(Sweep::open(&path).unwrap(), before);

        let mut trained = Vec::new();
        let pairs = [["dots".to_string(), "waves".to_string()]];
        let sweep = run(&experiment, &split, &pairs, folder.path(), |progress| {
            trained.push(progress.seed);
            ControlFlow::Continue(())
        });
        let sweep = sweep.unwrap();
        trained.dedup();
        assert_eq!(trained, [0], "that of seed 7 is there");
        assert_eq!((&sweep.rows[0], sweep.rows.len()), (&before.rows[0], 2));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), json, "and the file stays as it was");
        assert_eq!(Sweep::open(folder.path()).unwrap(), sweep);
    }
}
