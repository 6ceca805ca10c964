//! Which test images are anomalies, and which of them are public.

use super::columns::{ID_COLUMNS, names_of, position_of, without_mark};
use anyhow::{Context, Result, bail};
use diabolo::files::expand_home;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::HashMap;
use std::path::Path;

/// Two of either kind are compared in either half.
const LEAST_OF_A_KIND: usize = 4;

/// Which test images are anomalies.
pub struct Truth {
    /// The images' ids, in the file's order.
    pub ids: Vec<String>,
    /// Whether each is an anomaly.
    pub anomalies: Vec<bool>,
    /// Where each id stands.
    pub places: HashMap<Vec<u8>, usize>,
}

impl Truth {
    /// Reads a CSV file with the columns `id` and `anomaly`; what `diabolo score` writes is one too.
    pub fn open(path: &Path) -> Result<Self> {
        let path = expand_home(path)?;
        let doing = || format!("reading the truth {}", path.display());
        let text = std::fs::read(&path).with_context(doing)?;
        Self::read(&text).with_context(doing)
    }

    /// Reads the text of such a file.
    pub fn read(text: &[u8]) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(without_mark(text));
        let names = names_of(reader.headers()?);
        let columns = (position_of(&ID_COLUMNS, &names), position_of(&["anomaly", "label"], &names));
        let (Some(id), Some(label)) = columns else {
            bail!("found the columns {names:?}, wanted id and anomaly; a first line says `id,anomaly`");
        };
        let mut truth = Self { ids: Vec::new(), anomalies: Vec::new(), places: HashMap::new() };
        for (record, line) in reader.records().zip(2..) {
            let record = record?;
            let anomaly = match &record[label] {
                "1" | "true" | "True" => true,
                "0" | "false" | "False" => false,
                other => bail!("line {line}: found anomaly {other:?}, wanted 1 or 0"),
            };
            if truth.places.insert(record[id].as_bytes().to_vec(), truth.ids.len()).is_some() {
                bail!("line {line}: the id {:?} is there twice; give each image a line of its own", &record[id]);
            }
            truth.ids.push(record[id].to_string());
            truth.anomalies.push(anomaly);
        }
        let n_anomalies = truth.n_anomalies();
        let n_normal = truth.ids.len() - n_anomalies;
        if n_anomalies < LEAST_OF_A_KIND || n_normal < LEAST_OF_A_KIND {
            bail!(
                "found {n_anomalies} anomalies and {n_normal} normal images, wanted at least {LEAST_OF_A_KIND} of each; \
                 1 in the column anomaly marks an anomaly"
            );
        }
        Ok(truth)
    }

    /// How many of the images are anomalies.
    pub fn n_anomalies(&self) -> usize {
        self.anomalies.iter().filter(|&&anomaly| anomaly).count()
    }

    /// For each image whether it is public: of anomalies and of normal images the same share. One seed gives one half,
    /// whatever the order of the file.
    pub fn public_half(&self, share: f64, seed: u64) -> Result<Vec<bool>> {
        if !(share > 0.0 && share < 1.0) {
            bail!("--public {share}: wanted a share of the images between 0 and 1, as in 0.5");
        }
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut is_public = vec![false; self.ids.len()];
        for kind in [true, false] {
            let mut images: Vec<usize> = (0..self.ids.len()).filter(|&image| self.anomalies[image] == kind).collect();
            images.sort_by_key(|&image| &self.ids[image]);
            images.shuffle(&mut generator);
            let n_public = (share * images.len() as f64).round() as usize;
            if n_public < 2 || images.len() - n_public < 2 {
                let kind = if kind { "anomalies" } else { "normal images" };
                bail!(
                    "--public {share}: leaves {n_public} public and {} private {kind}, wanted at least two of each; \
                     choose a share nearer to 0.5",
                    images.len() - n_public
                );
            }
            images[..n_public].iter().for_each(|&image| is_public[image] = true);
        }
        Ok(is_public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(order: impl Iterator<Item = usize>) -> Truth {
        let lines: String = order.map(|id| format!("{id},{}\n", u8::from(id % 4 == 0))).collect();
        Truth::read(format!("id,anomaly\n{lines}").as_bytes()).unwrap()
    }

    #[test]
    fn a_half_has_its_share_of_both_kinds_and_follows_from_the_seed() {
        let truth_in_order = truth(0..100);
        let half = truth_in_order.public_half(0.4, 7).unwrap();
        let n_public = |kind: bool| (0..100).filter(|&image| half[image] && (image % 4 == 0) == kind).count();
        assert_eq!((n_public(true), n_public(false)), (10, 30));
        assert_ne!(half, truth_in_order.public_half(0.4, 8).unwrap());

        let reversed = truth((0..100).rev()).public_half(0.4, 7).unwrap();
        assert!(reversed.into_iter().rev().eq(half), "the order of the file changes nothing");
    }

    #[test]
    fn what_is_no_truth_is_refused_with_a_reason() {
        let message = |text: &str| format!("{:#}", Truth::read(text.as_bytes()).err().unwrap());
        assert!(message("id,score\n0,0.5\n").contains("wanted id and anomaly"));
        assert!(message("id,anomaly\n0,0.5\n").contains("line 2: found anomaly \"0.5\", wanted 1 or 0"));
        assert!(message("id,anomaly\n3,1\n3,0\n").contains("line 3: the id \"3\" is there twice"));
        assert!(message("id,anomaly\n3,1\n4,0\n").contains("found 1 anomalies and 1 normal images"));
        let message = truth(0..100).public_half(0.01, 0).unwrap_err().to_string();
        assert!(message.contains("leaves 0 public and 25 private anomalies"), "{message}");
        assert!(truth(0..100).public_half(1.0, 0).is_err() && truth(0..100).public_half(f64::NAN, 0).is_err());
    }

    #[test]
    fn what_diabolo_score_writes_is_a_truth() {
        let lines: String = (0..8).map(|id| format!("{id},0.1,{}\n", id % 2)).collect();
        let truth = Truth::read(format!("\u{feff}image,mse,anomaly\r\n{lines}").as_bytes()).unwrap();
        assert_eq!((truth.ids.len(), truth.n_anomalies()), (8, 4));
    }
}
