//! How long a build still takes. Crates differ: a few large ones wait for each other where hundreds are done in seconds, so the
//! time is not spread evenly over their number.

use std::time::{Duration, Instant};

/// How a build's time is spread over its crates: where the first share of them is done, the second share of the time is
/// over. Measured, and the same on a machine that is faster or slower as a whole.
#[derive(Clone, Copy)]
pub struct Pace(pub &'static [(f64, f64)]);

/// The pace of one build, watched from its first sign.
pub struct Watched {
    pace: Pace,
    first: Option<(Instant, f64)>,
}

/// Before this share of the time has been watched, nothing is foretold.
const LEAST_SHARE: f64 = 0.1;

impl Pace {
    /// The share of the time that is over when `share` of the crates are done; both from 0 to 1.
    fn of_time(self, share: f64) -> f64 {
        let n_before = self.0.partition_point(|point| point.0 <= share);
        let from = n_before.checked_sub(1).map_or((0.0, 0.0), |index| self.0[index]);
        let to = self.0.get(n_before).copied().unwrap_or((1.0, 1.0));
        let part = if to.0 > from.0 { ((share - from.0) / (to.0 - from.0)).min(1.0) } else { 1.0 };
        from.1 + part * (to.1 - from.1)
    }

    /// Begins to watch a build.
    pub fn watch(self) -> Watched {
        Watched { pace: self, first: None }
    }
}

impl Watched {
    /// The time that the build still takes at `now`, when `n_done` of its `n_all` crates are done. What was done at the first
    /// sign, as after an interrupted build, took no time of this one.
    pub fn left(&mut self, n_done: usize, n_all: usize, now: Instant) -> Option<Duration> {
        let gone = self.pace.of_time(n_done as f64 / n_all.max(1) as f64);
        let (began, at_first) = *self.first.get_or_insert((now, gone));
        let watched = gone - at_first;
        (watched >= LEAST_SHARE).then(|| (now - began).mul_f64((1.0 - gone) / watched))
    }
}

/// "about 4 min to go".
pub fn to_go(left: Duration) -> String {
    match left.as_secs() {
        0..45 => "under a minute to go".into(),
        seconds => format!("about {} min to go", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A build of four crates of which the last takes half of the time.
    const PACE: Pace = Pace(&[(0.75, 0.5)]);

    #[test]
    fn what_is_left_follows_the_measured_shares() {
        let began = Instant::now();
        let mut watched = PACE.watch();
        let mut after = |seconds, n_done| watched.left(n_done, 4, began + Duration::from_secs(seconds));
        assert_eq!(after(0, 0), None, "nothing has been seen yet");
        // A third of the crates before the large one: a sixth of the whole time.
        assert_eq!(after(10, 1).map(|left| left.as_secs_f64().round()), Some(50.0));
        assert_eq!(after(30, 3), Some(Duration::from_secs(30)));
        assert_eq!(after(61, 4), Some(Duration::ZERO));
    }

    #[test]
    fn what_an_interrupted_build_had_done_took_no_time_of_this_one() {
        let began = Instant::now();
        let mut watched = PACE.watch();
        assert_eq!(watched.left(3, 4, began), None);
        assert_eq!(watched.left(3, 4, began + Duration::from_secs(9)), None);
        // Half of what was left at the first sign took a quarter of the whole.
        let mut watched = Pace(&[]).watch();
        assert_eq!(watched.left(2, 4, began), None);
        assert_eq!(watched.left(3, 4, began + Duration::from_secs(9)), Some(Duration::from_secs(9)));
    }

    #[test]
    fn it_is_said_in_minutes() {
        assert_eq!(to_go(Duration::from_secs(20)), "under a minute to go");
        assert_eq!(to_go(Duration::from_secs(50)), "about 1 min to go");
        assert_eq!(to_go(Duration::from_secs(239)), "about 4 min to go");
    }
}
