//! The random numbers of a training step.
//!
//! On a CPU each layer draws as its turn comes. On a GPU every upload costs a launch and, if it waits, the lead over the
//! device; so there the same numbers are drawn in the same order before the step and go up together.

use super::dropout::DropoutMask;
use super::{Network, Share};
use crate::device::{Purpose, generator, normal_values};
use crate::model::Layer;
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use tch::{Kind, TchError, Tensor};

/// The random numbers of one training step, for the layers in the order in which these ask.
pub(crate) struct StepRandomness {
    source: Source,
    /// Of several processes that train together.
    share: Option<Share>,
    /// PyTorch's noise for the bottleneck, `[n, latents]`, so that both sides draw the same.
    #[cfg(test)]
    noise: Option<Tensor>,
}

enum Source {
    /// Draws when a layer asks.
    Generator(Xoshiro256PlusPlus),
    /// What was drawn before, on the device: dropout's factors and noise, flat.
    Drawn(std::vec::IntoIter<Tensor>),
}

impl StepRandomness {
    pub(crate) fn new(seed: u64, epoch: usize, step: usize) -> Self {
        Self::from(Source::Generator(generator(seed, Purpose::Layers, epoch, step)))
    }

    /// Those of [`Draws::draw`], uploaded.
    pub(crate) fn uploaded(draws: &Draws, words: &Tensor) -> Result<Self, TchError> {
        Ok(Self::from(Source::Drawn(draws.tensors(words)?.into_iter())))
    }

    fn from(source: Source) -> Self {
        Self {
            source,
            share: None,
            #[cfg(test)]
            noise: None,
        }
    }

    /// For a part of the minibatch: the numbers of the whole are drawn, and those of these images taken, so that they do not
    /// depend on the number of processes.
    pub(crate) fn with_share(mut self, share: Option<Share>) -> Self {
        self.share = share;
        self
    }

    /// The part of the minibatch that is computed here, where it is not all of it.
    pub(crate) fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn with_noise(mut self, noise: &Tensor) -> Self {
        self.noise = Some(noise.shallow_clone());
        self
    }

    /// Whether numbers are drawn when a layer asks.
    pub(super) fn draws_here(&self) -> bool {
        matches!(self.source, Source::Generator(_))
    }

    /// The mask of so many values of the images that are computed here; none where the numbers are drawn already.
    pub(super) fn mask(&mut self, n_values: usize, probability: f64) -> Option<DropoutMask> {
        let Source::Generator(generator) = &mut self.source else { return None };
        Some(match &self.share {
            None => DropoutMask::draw(n_values, probability, generator),
            Some(share) => {
                DropoutMask::draw(share.n_values(n_values), probability, generator).of_values(share.values(n_values))
            }
        })
    }

    /// What dropout multiplies each value of `x` by. Drawn in one order in memory whatever that of `x`, which may differ
    /// between devices.
    pub(super) fn dropout_factors(&mut self, x: &Tensor, probability: f64) -> Result<Tensor, TchError> {
        let factors = match self.mask(x.numel(), probability) {
            Some(mask) => mask.factors(x.device())?,
            None => self.next_drawn(x)?,
        };
        let factors = factors.f_to_kind(x.kind())?;
        match x.size()[..] {
            [n, c, h, w] => factors.f_view([n, h, w, c])?.f_permute([0, 3, 1, 2]),
            ref size => factors.f_view(size),
        }
    }

    /// Draws from the standard normal distribution, in the shape and on the device of `like`.
    pub(super) fn noise(&mut self, like: &Tensor) -> Result<Tensor, TchError> {
        #[cfg(test)]
        if let Some(noise) = &self.noise {
            return Ok(noise.shallow_clone());
        }
        let noise = match &mut self.source {
            Source::Generator(generator) => match &self.share {
                None => Tensor::f_from_slice(&normal_values(like.numel(), generator))?,
                Some(share) => {
                    let values = normal_values(share.n_values(like.numel()), generator);
                    Tensor::f_from_slice(&values[share.values(like.numel())])?
                }
            },
            Source::Drawn(_) => self.next_drawn(like)?,
        };
        noise.f_view(&like.size()[..])?.f_to(like.device())
    }

    fn next_drawn(&mut self, like: &Tensor) -> Result<Tensor, TchError> {
        let drawn = match &mut self.source {
            Source::Generator(_) => None,
            Source::Drawn(drawn) => drawn.next(),
        };
        let fitting = drawn.filter(|drawn| drawn.numel() == like.numel());
        fitting.ok_or_else(|| TchError::Torch(format!("no random numbers were drawn for {:?}", like.size())))
    }
}

/// Which random numbers a training step of so many images takes, in the order in which its layers ask for them.
#[derive(Debug)]
pub(crate) struct Draws(Vec<Draw>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Draw {
    Dropout { n_values: usize, probability: f64 },
    Noise { n_values: usize },
}

impl Draw {
    /// Words of 64 bits that its numbers take.
    fn n_words(&self) -> usize {
        match *self {
            Self::Dropout { n_values, probability } => DropoutMask::n_words(n_values, probability),
            Self::Noise { n_values } => n_values.div_ceil(2),
        }
    }
}

impl Network {
    /// What a training step of so many images draws.
    pub(crate) fn draws(&self, n_images: usize) -> Draws {
        let parts = [&self.encoder, &self.decoder];
        let layers = parts.into_iter().flat_map(|part| part.steps.iter().map(|step| &part.layers[step.layer]));
        let draws = layers.filter_map(|built| match built.layer {
            Layer::Dropout { probability } if probability > 0.0 => {
                Some(Draw::Dropout { n_values: n_images * built.output.n_values(), probability })
            }
            Layer::Gaussian { .. } => Some(Draw::Noise { n_values: n_images * built.output.n_values() }),
            _ => None,
        });
        Draws(draws.collect())
    }
}

impl Draws {
    /// Words of 64 bits that all of them take.
    pub(crate) fn n_words(&self) -> usize {
        self.0.iter().map(Draw::n_words).sum()
    }

    /// Draws all of them, as [`StepRandomness::new`] does one by one, and adds them to `words`.
    pub(crate) fn draw(&self, seed: u64, epoch: usize, step: usize, words: &mut Vec<i64>) {
        let mut generator = generator(seed, Purpose::Layers, epoch, step);
        for draw in &self.0 {
            match *draw {
                Draw::Dropout { .. } => words.extend((0..draw.n_words()).map(|_| generator.next_u64().cast_signed())),
                Draw::Noise { n_values } => {
                    let values = normal_values(n_values, &mut generator);
                    // In the order of little-endian machines, which GPUs are.
                    let bits = |value: Option<&f32>| i64::from(value.map_or(0, |value| value.to_bits()));
                    words.extend(values.chunks(2).map(|pair| bits(pair.first()) | bits(pair.get(1)) << 32));
                }
            }
        }
    }

    /// From the words of [`Draws::draw`], `[n_words]` of `int64` on a device, to what each layer asks for, flat.
    fn tensors(&self, words: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let mut tensors = Vec::with_capacity(self.0.len());
        let mut start = 0;
        // Masks of one probability are made together.
        let is_alike = |a: &Draw, b: &Draw| match (a, b) {
            (Draw::Dropout { probability: a, .. }, Draw::Dropout { probability: b, .. }) => a == b,
            _ => false,
        };
        for alike in self.0.chunk_by(is_alike) {
            let n_words: usize = alike.iter().map(Draw::n_words).sum();
            let part = words.f_narrow(0, start as i64, n_words as i64)?;
            start += n_words;
            let values = match alike[0] {
                Draw::Dropout { probability, .. } => DropoutMask::factors_of(&part, probability)?,
                Draw::Noise { .. } => part.f_view_dtype(Kind::Float)?,
            };
            let n_values_in_word = values.numel() / n_words.max(1);
            let mut first = 0;
            for draw in alike {
                let (Draw::Dropout { n_values, .. } | Draw::Noise { n_values }) = *draw;
                tensors.push(values.f_narrow(0, first as i64, n_values as i64)?);
                first += draw.n_words() * n_values_in_word;
            }
        }
        Ok(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;
    use tch::Device;

    #[test]
    fn numbers_drawn_together_are_those_drawn_one_by_one() {
        let decoder = "Linear(4, 12) / Dropout(0.5) / ReLU() / Unflatten(3, 2, 2) / Upsample(2) / Dropout(0.3)";
        let architecture =
            Architecture::parse("Flatten() / Dropout(0.5) / Linear(48, 9) / Dropout(0.5) / Gaussian(4)", decoder);
        let plan = architecture.unwrap().plan([3, 4, 4]).unwrap();
        let network = Network::new(plan, 1, Device::Cpu).unwrap();
        let (seed, epoch, step, n_images) = (7, 2, 3, 5);
        let draws = network.draws(n_images);
        let mut words = Vec::new();
        draws.draw(seed, epoch, step, &mut words);
        assert_eq!(words.len(), draws.n_words());
        let mut drawn = StepRandomness::uploaded(&draws, &Tensor::from_slice(&words)).unwrap();
        let mut one_by_one = StepRandomness::new(seed, epoch, step);
        let n = n_images as i64;
        let like = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        for (size, probability) in [(vec![n, 48], 0.5), (vec![n, 9], 0.5)] {
            let [a, b] = [&mut drawn, &mut one_by_one].map(|it| it.dropout_factors(&like(&size), probability).unwrap());
            assert_eq!(a, b);
        }
        let [a, b] = [&mut drawn, &mut one_by_one].map(|it| it.noise(&like(&[n, 4])).unwrap());
        assert_eq!(a, b);
        for (size, probability) in [(vec![n, 12], 0.5), (vec![n, 3, 4, 4], 0.3)] {
            let [a, b] = [&mut drawn, &mut one_by_one].map(|it| it.dropout_factors(&like(&size), probability).unwrap());
            assert_eq!(a, b);
        }
        assert!(drawn.dropout_factors(&like(&[n, 12]), 0.5).is_err(), "there are no more");
    }
}
