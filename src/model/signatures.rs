//! The arguments of each layer: names, defaults, and which of PyTorch's are not supported.

use super::Layer;
use super::layer::{LARGEST, Misfit};
use std::collections::VecDeque;
use std::fmt;

/// How each layer is written. `MaxPool` is the report's word for PyTorch's `MaxPool2d`.
const USAGES: [&str; 15] = [
    "Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0)",
    "ConvTranspose2d(in_channels, out_channels, kernel_size, stride=1, padding=0)",
    "Linear(in_features, out_features)",
    "MaxPool2d(kernel_size, stride=kernel_size, padding=0)",
    "MaxPool(kernel_size, stride=kernel_size, padding=0)",
    "Upsample(scale_factor, mode='nearest')",
    "BatchNorm2d(num_features)",
    "Dropout(p=0.5)",
    "ReLU()",
    "LeakyReLU(negative_slope=0.01)",
    "Sigmoid()",
    "Tanh()",
    "Flatten()",
    "Unflatten(1, (channels, height, width))",
    "Gaussian(latents)",
];

/// A value as Python writes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Truth(bool),
    Text(String),
    Tuple(Vec<Value>),
    None,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Truth(true) => f.write_str("True"),
            Self::Truth(false) => f.write_str("False"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Tuple(values) => {
                write!(f, "({})", values.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::None => f.write_str("None"),
        }
    }
}

/// An argument's value, and the text that it was read from.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) value: Value,
    pub(super) written: String,
}

/// A layer as it was written: arguments are taken from it in PyTorch's order, each by its name.
pub(super) struct Call<'a> {
    name: &'a str,
    pub(super) positional: VecDeque<Argument>,
    pub(super) named: Vec<(String, Argument)>,
    /// Names of the arguments that were asked for so far.
    known: Vec<&'static str>,
}

/// Whether a layer has this name.
pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// What may have been meant by a layer's name that is not known.
pub(super) fn suggestion(name: &str) -> String {
    match nearest(name, names()) {
        Some(known) => format!("did you mean {known}?"),
        None => format!("the layers are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// The layer that a call of a known name writes.
pub(super) fn layer(mut call: Call) -> Result<Layer, Misfit> {
    let layer = match call.name {
        "Conv2d" => {
            let [in_channels, out_channels] = [call.whole("in_channels")?, call.whole("out_channels")?];
            let kernel = call.side("kernel_size", None)?;
            let [stride, padding] = [call.side("stride", Some(1))?, call.side("padding", Some(0))?];
            call.only("dilation", Value::Number(1.0))?;
            call.only("groups", Value::Number(1.0))?;
            call.only("bias", Value::Truth(true))?;
            call.only("padding_mode", Value::Text("zeros".into()))?;
            Layer::Conv2d { in_channels, out_channels, kernel, stride, padding }
        }
        "ConvTranspose2d" => {
            let [in_channels, out_channels] = [call.whole("in_channels")?, call.whole("out_channels")?];
            let kernel = call.side("kernel_size", None)?;
            let [stride, padding] = [call.side("stride", Some(1))?, call.side("padding", Some(0))?];
            call.only("output_padding", Value::Number(0.0))?;
            call.only("groups", Value::Number(1.0))?;
            call.only("bias", Value::Truth(true))?;
            call.only("dilation", Value::Number(1.0))?;
            call.only("padding_mode", Value::Text("zeros".into()))?;
            Layer::ConvTranspose2d { in_channels, out_channels, kernel, stride, padding }
        }
        "Linear" => {
            let [in_features, out_features] = [call.whole("in_features")?, call.whole("out_features")?];
            call.only("bias", Value::Truth(true))?;
            Layer::Linear { in_features, out_features }
        }
        "MaxPool" | "MaxPool2d" => {
            let kernel = call.side("kernel_size", None)?;
            let [stride, padding] = [call.side("stride", Some(kernel))?, call.side("padding", Some(0))?];
            call.only("dilation", Value::Number(1.0))?;
            call.only("return_indices", Value::Truth(false))?;
            call.only("ceil_mode", Value::Truth(false))?;
            Layer::MaxPool { kernel, stride, padding }
        }
        "Upsample" => {
            // PyTorch's first argument is a size in pixels; the report's is the factor.
            call.only_named("size", Value::None)?;
            let scale = call.side("scale_factor", None)?;
            call.only("mode", Value::Text("nearest".into()))?;
            call.only("align_corners", Value::None)?;
            call.only("recompute_scale_factor", Value::None)?;
            Layer::Upsample { scale }
        }
        "BatchNorm2d" => {
            let channels = call.whole("num_features")?;
            call.only("eps", Value::Number(1e-5))?;
            call.only("momentum", Value::Number(0.1))?;
            call.only("affine", Value::Truth(true))?;
            call.only("track_running_stats", Value::Truth(true))?;
            call.only_named("bias", Value::Truth(true))?;
            Layer::BatchNorm2d { channels }
        }
        "Dropout" => {
            let probability = call.number("p", 0.5)?;
            call.in_place()?;
            Layer::Dropout { probability }
        }
        "ReLU" => {
            call.in_place()?;
            Layer::ReLU
        }
        "LeakyReLU" => {
            let slope = call.number("negative_slope", 0.01)?;
            call.in_place()?;
            Layer::LeakyReLU { slope }
        }
        "Sigmoid" => Layer::Sigmoid,
        "Tanh" => Layer::Tanh,
        "Flatten" => {
            call.only("start_dim", Value::Number(1.0))?;
            call.only("end_dim", Value::Number(-1.0))?;
            Layer::Flatten
        }
        "Unflatten" => Layer::Unflatten { shape: call.unflattened()? },
        "Gaussian" => Layer::Gaussian { latents: call.whole("latents")? },
        unknown => return Err(Misfit::new(format!("`{unknown}`"), "a layer", suggestion(unknown))),
    };
    call.finish()?;
    Ok(layer)
}

impl<'a> Call<'a> {
    /// A call without arguments so far.
    pub(super) fn new(name: &'a str) -> Self {
        Self { name, positional: VecDeque::new(), named: Vec::new(), known: Vec::new() }
    }

    /// The next argument, whether by its place or by its name.
    fn take(&mut self, name: &'static str) -> Option<Argument> {
        match self.positional.pop_front() {
            Some(argument) => {
                self.known.push(name);
                Some(argument)
            }
            None => self.take_named(name),
        }
    }

    fn take_named(&mut self, name: &'static str) -> Option<Argument> {
        self.known.push(name);
        let index = self.named.iter().position(|(written, _)| written == name)?;
        Some(self.named.remove(index).1)
    }

    /// A whole number that has to be given.
    fn whole(&mut self, name: &'static str) -> Result<usize, Misfit> {
        match self.take(name) {
            Some(Argument { value: Value::Number(number), .. }) if is_whole(number) => Ok(number as usize),
            Some(argument) => Err(not_whole(name, &argument)),
            None => Err(self.missing(name)),
        }
    }

    /// A whole number, or a tuple of equal ones for height and width.
    fn side(&mut self, name: &'static str, default: Option<usize>) -> Result<usize, Misfit> {
        let Some(argument) = self.take(name).filter(|argument| argument.value != Value::None) else {
            return default.ok_or_else(|| self.missing(name));
        };
        match argument.value {
            Value::Number(number) if is_whole(number) => Ok(number as usize),
            Value::Tuple(ref sides) => match sides.as_slice() {
                [Value::Number(height), Value::Number(width)] if height == width && is_whole(*height) => {
                    Ok(*height as usize)
                }
                [Value::Number(height), Value::Number(_)] => Err(Misfit::new(
                    format!("{name}={}", argument.written),
                    "the same for height and width",
                    format!("others are not supported; {name}={height} would do"),
                )),
                _ => Err(not_whole(name, &argument)),
            },
            _ => Err(not_whole(name, &argument)),
        }
    }

    fn number(&mut self, name: &'static str, default: f64) -> Result<f64, Misfit> {
        match self.take(name) {
            Some(Argument { value: Value::Number(number), .. }) => Ok(number),
            Some(argument) => {
                Err(Misfit::new(format!("{name}={}", argument.written), "a number", format!("as in {}", self.usage())))
            }
            None => Ok(default),
        }
    }

    /// PyTorch's `inplace`, which saves memory and changes no result.
    fn in_place(&mut self) -> Result<(), Misfit> {
        match self.take("inplace") {
            None | Some(Argument { value: Value::Truth(_), .. }) => Ok(()),
            Some(argument) => Err(Misfit::new(
                format!("inplace={}", argument.written),
                "True or False",
                format!("leave it out: {}", self.usage()),
            )),
        }
    }

    /// An argument of PyTorch's that may be given only as `supported`.
    fn only(&mut self, name: &'static str, supported: Value) -> Result<(), Misfit> {
        let argument = self.take(name);
        self.supported(name, argument, supported)
    }

    /// [`Call::only`] for an argument that has no place of its own.
    fn only_named(&mut self, name: &'static str, supported: Value) -> Result<(), Misfit> {
        let argument = self.take_named(name);
        self.supported(name, argument, supported)
    }

    fn supported(&self, name: &str, argument: Option<Argument>, supported: Value) -> Result<(), Misfit> {
        let Some(argument) = argument else { return Ok(()) };
        let is_supported = match &argument.value {
            Value::Tuple(values) => !values.is_empty() && values.iter().all(|value| *value == supported),
            value => *value == supported,
        };
        if is_supported {
            return Ok(());
        }
        Err(Misfit::new(
            format!("{name}={}", argument.written),
            format!("{name}={supported}"),
            format!("others are not supported: {}", self.usage()),
        ))
    }

    /// `1, (c, h, w)` as in PyTorch, or `c, h, w`.
    fn unflattened(&mut self) -> Result<[usize; 3], Misfit> {
        if self.positional.len() >= 3 {
            return Ok([self.whole("channels")?, self.whole("height")?, self.whole("width")?]);
        }
        self.only("dim", Value::Number(1.0))?;
        let argument = self.take("unflattened_size").ok_or_else(|| self.missing("unflattened_size"))?;
        if let Value::Tuple(sides) = &argument.value
            && let [Value::Number(c), Value::Number(h), Value::Number(w)] = sides.as_slice()
            && [c, h, w].into_iter().all(|side| is_whole(*side))
        {
            return Ok([*c as usize, *h as usize, *w as usize]);
        }
        Err(Misfit::new(
            format!("unflattened_size={}", argument.written),
            "(channels, height, width)",
            "as in Unflatten(1, (96, 2, 2))",
        ))
    }

    /// Refuses arguments that nobody asked for.
    fn finish(self) -> Result<(), Misfit> {
        if let Some(argument) = self.positional.front() {
            let found = format!("`{}`, one argument too many", argument.written);
            return Err(Misfit::new(found, self.usage(), "leave it out"));
        }
        let Some((name, argument)) = self.named.first() else { return Ok(()) };
        let found = format!("{name}={}", argument.written);
        if self.known.contains(&name.as_str()) {
            return Err(Misfit::new(found, format!("{name} once"), format!("it is given twice: {}", self.usage())));
        }
        let next_step = match nearest(name, self.known.iter().copied()) {
            Some(known) => format!("did you mean {known}?"),
            None => "leave it out".to_string(),
        };
        Err(Misfit::new(found, self.usage(), next_step))
    }

    fn missing(&self, name: &str) -> Misfit {
        Misfit::new(format!("no {name}"), self.usage(), format!("add {name}"))
    }

    fn usage(&self) -> &'static str {
        USAGES.into_iter().find(|usage| name_of(usage) == self.name).unwrap_or_default()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    USAGES.into_iter().map(name_of)
}

fn name_of(usage: &str) -> &str {
    usage.split('(').next().unwrap_or_default()
}

fn is_whole(number: f64) -> bool {
    number.fract() == 0.0 && (0.0..=LARGEST as f64).contains(&number)
}

fn not_whole(name: &str, argument: &Argument) -> Misfit {
    let next_step = match argument.value {
        Value::Number(_) | Value::Tuple(_) => "change it",
        _ => "only numbers can stand here",
    };
    Misfit::new(format!("{name}={}", argument.written), format!("a whole number from 0 to {LARGEST}"), next_step)
}

/// The known name that `name` is most likely a misspelling of: at most a third of its letters differ.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // "conv", "Conv1d" and "Conv2D" all mean Conv2d.
    let core = |name: &str| {
        name.to_lowercase().trim_end_matches("1d").trim_end_matches("2d").trim_end_matches("3d").to_string()
    };
    let written = core(name);
    let distances = known.map(|known| (edit_distance(&written, &core(known)), known));
    distances
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| distance * 3 <= known.len())
        .map(|it| it.1)
}

/// Number of letters to insert, delete or replace on the way from one word to the other (Levenshtein, 1966).
fn edit_distance(from: &str, to: &str) -> usize {
    // A name far longer than any layer's is no misspelling of one, however long the text is.
    const LONGEST_NAME: usize = 64;
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().take(LONGEST_NAME).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for column in 0..to.len() {
            let replaced = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
