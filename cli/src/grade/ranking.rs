//! Ranks by AUC, and which of them chance alone could have made.

use super::Half;
use super::submissions::{Refused, Submission, Submissions};
use super::truth::Truth;
use anyhow::Result;
use diabolo::metrics::{AucComparison, Interval, compare_aucs, delong_interval, roc_auc};
use rayon::prelude::*;
use std::fmt;

/// Two AUCs whose p-value is not below this cannot be told apart.
pub const SIGNIFICANCE: f64 = 0.05;

/// A class, ranked.
pub struct Class {
    /// Which images the ranks and the groups come from.
    pub ranks_by: Half,
    /// How many of them there are, and how many of these are anomalies.
    pub n_ranking: usize,
    pub n_anomalies: usize,
    /// Highest AUC first; of equal ones by name.
    pub ranked: Vec<Ranked>,
    /// Every file that could not be read, by reason.
    pub refused: Vec<Refused>,
}

/// A student with scores.
pub struct Ranked {
    pub student: String,
    pub file: String,
    pub n_tries: usize,
    /// From 1; equal AUCs share one.
    pub rank: usize,
    /// From 1. The images do not tell a student of a group from the first of it.
    pub group: usize,
    /// With DeLong's 95 % interval.
    pub auc: Interval,
    /// The AUC less that of the next rank; `None` for the last.
    pub to_next: Option<AucComparison>,
    /// Where there is a public half.
    pub public: Option<Public>,
}

/// How a student stands by the public images.
#[derive(Clone, Copy)]
pub struct Public {
    pub auc: f64,
    pub rank: usize,
}

impl Class {
    /// Ranks those whose scores could be read. `public` says of each image whether it is public.
    pub fn rank(truth: &Truth, submissions: Submissions, ranks_by: Half, public: Option<&[bool]>) -> Result<Self> {
        let Submissions { accepted, mut refused } = submissions;
        refused.sort_by(|a, b| (a.refusal.reason, &a.student).cmp(&(b.refusal.reason, &b.student)));
        let counts = |image: usize| match (ranks_by, public) {
            (Half::All, _) | (_, None) => true,
            (Half::Public, Some(public)) => public[image],
            (Half::Private, Some(public)) => !public[image],
        };
        let ranking: Vec<usize> = (0..truth.ids.len()).filter(|&image| counts(image)).collect();
        let anomalies = of(&truth.anomalies, &ranking);
        let public_images = public.map(|public| Vec::from_iter((0..public.len()).filter(|&image| public[image])));
        let public_half = public_images.map(|images| (of(&truth.anomalies, &images), images));

        let scored: Result<Vec<Scored>> = accepted
            .into_par_iter()
            .map(|Submission { student, file, n_tries, scores: all }| {
                let scores = of(&all, &ranking);
                let public_auc = public_half.as_ref().map(|(anomalies, images)| roc_auc(&of(&all, images), anomalies));
                let auc = delong_interval(&scores, &anomalies)?;
                Ok(Scored { student, file, n_tries, scores, auc, public_auc: public_auc.transpose()? })
            })
            .collect();
        let mut scored = scored?;
        scored.sort_by(|a, b| b.auc.value.total_cmp(&a.auc.value).then_with(|| a.student.cmp(&b.student)));

        let compare = |a: &Scored, b: &Scored| compare_aucs(&a.scores, &b.scores, &anomalies);
        let to_next: diabolo::Result<Vec<AucComparison>> =
            scored.par_windows(2).map(|pair| compare(&pair[0], &pair[1])).collect();
        let mut to_next = to_next?.into_iter();
        let groups =
            groups(scored.len(), |first, index| Ok(compare(&scored[first], &scored[index])?.p_value < SIGNIFICANCE))?;
        let aucs: Vec<f64> = scored.iter().map(|one| one.auc.value).collect();
        let public_aucs: Option<Vec<f64>> = scored.iter().map(|one| one.public_auc).collect();
        let ranked = scored.into_iter().zip(groups).map(|(one, group)| Ranked {
            rank: rank_among(&aucs, one.auc.value),
            group,
            auc: one.auc,
            to_next: to_next.next(),
            public: one
                .public_auc
                .zip(public_aucs.as_ref())
                .map(|(auc, all)| Public { auc, rank: rank_among(all, auc) }),
            student: one.student,
            file: one.file,
            n_tries: one.n_tries,
        });
        Ok(Self {
            ranks_by,
            n_ranking: ranking.len(),
            n_anomalies: anomalies.iter().filter(|&&anomaly| anomaly).count(),
            ranked: ranked.collect(),
            refused,
        })
    }

    /// How many groups there are.
    pub fn n_groups(&self) -> usize {
        self.ranked.last().map_or(0, |last| last.group)
    }

    /// How many students have handed nothing in that can be read.
    pub fn n_without_rank(&self) -> usize {
        self.refused.iter().filter(|refused| refused.counts).count()
    }
}

/// A student's scores of the images that rank.
struct Scored {
    student: String,
    file: String,
    n_tries: usize,
    scores: Vec<f64>,
    auc: Interval,
    public_auc: Option<f64>,
}

fn of<T: Copy>(values: &[T], images: &[usize]) -> Vec<T> {
    images.iter().map(|&image| values[image]).collect()
}

fn rank_among(aucs: &[f64], auc: f64) -> usize {
    1 + aucs.iter().filter(|&&other| other > auc).count()
}

/// The group of each rank: the first that is told from the first of a group begins the next.
fn groups(n: usize, mut are_told_apart: impl FnMut(usize, usize) -> Result<bool>) -> Result<Vec<usize>> {
    let (mut groups, mut first) = (Vec::with_capacity(n), 0);
    for index in 0..n {
        let group = groups.last().copied().unwrap_or(1);
        let begins = index > 0 && are_told_apart(first, index)?;
        if begins {
            first = index;
        }
        groups.push(group + usize::from(begins));
    }
    Ok(groups)
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        write!(
            f,
            "{} in {}, {} without a rank",
            counted(self.ranked.len(), "student"),
            counted(self.n_groups(), "group"),
            self.n_without_rank()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_at_the_first_that_is_told_from_its_first() {
        let aucs = [0.9, 0.88, 0.85, 0.84, 0.6];
        let told_apart = |a: usize, b: usize| Ok(aucs[a] - aucs[b] > 0.045);
        assert_eq!(groups(5, told_apart).unwrap(), [1, 1, 2, 2, 3]);
        assert_eq!(groups(0, |_, _| Ok(true)).unwrap(), [0usize; 0]);
    }

    #[test]
    fn equal_aucs_share_a_rank() {
        let aucs = [0.9, 0.8, 0.8, 0.7];
        assert_eq!(aucs.map(|auc| rank_among(&aucs, auc)), [1, 2, 2, 4]);
    }
}
