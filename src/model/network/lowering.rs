//! The order in which layers are computed, which may differ from that of the plan.
//!
//! Nearest-neighbour upsampling repeats values, so an element-wise layer gives the same result before it, on a fraction
//! of the values. The layers, their names and their weights stay as planned.

use crate::model::{FeatureShape, Layer, PlannedLayer};

/// One layer in the order of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Index of the layer in its part of the plan.
    pub(super) layer: usize,
    /// Number of equal values in the plan for each value computed here; above 1 before a postponed upsampling.
    pub(super) n_copies: usize,
}

/// The layers of a part in the cheapest order with the same outputs, gradients and statistics.
pub(super) fn order(layers: &[PlannedLayer]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(layers.len());
    for (index, planned) in layers.iter().enumerate() {
        let (mut position, mut n_copies) = (steps.len(), 1);
        while position > 0 && may_go_before(&planned.layer, &layers[steps[position - 1].layer]) {
            position -= 1;
            if let Layer::Upsample { scale } = layers[steps[position].layer].layer {
                n_copies *= scale * scale;
            }
        }
        // Elsewhere the planned order costs as much.
        let position = if n_copies > 1 { position } else { steps.len() };
        steps.insert(position, Step { layer: index, n_copies });
    }
    steps
}

fn may_go_before(layer: &Layer, earlier: &PlannedLayer) -> bool {
    match (&earlier.layer, layer) {
        // A dropout mask is 0 or above, and these two depend on the sign alone.
        (Layer::Dropout { .. }, Layer::ReLU | Layer::LeakyReLU { .. }) => true,
        (Layer::Upsample { .. }, Layer::ReLU | Layer::LeakyReLU { .. } | Layer::Sigmoid | Layer::Tanh) => true,
        // A batch of one image would have no variance in a single pixel, while it has one in copies of it.
        (Layer::Upsample { .. }, Layer::BatchNorm2d { .. }) => {
            matches!(earlier.input, FeatureShape::Image([_, height, width]) if height * width > 1)
                && repeats_evenly(earlier)
        }
        _ => false,
    }
}

/// Whether an upsampling gives every value as many copies as every other. PyTorch, and libtorch with it, finds the value
/// that an output is a copy of by `floor(output * (1 / scale))` in 32-bit floats, which for some scales, such as 41, is one
/// too low at some outputs.
pub(super) fn repeats_evenly(upsample: &PlannedLayer) -> bool {
    let (Layer::Upsample { scale }, FeatureShape::Image([_, height, width])) = (&upsample.layer, upsample.input) else {
        return false;
    };
    // libtorch doubles by whole numbers.
    let step = 1.0 / *scale as f32;
    let is_even = |output: usize| (output as f32 * step) as usize == output / scale;
    *scale == 2 || (0..height.max(width) * scale).all(is_even)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    /// The order of a decoder's layers after a convolution, as notation with the number of copies.
    #[track_caller]
    fn check_order(decoder: &str, wanted: &[(&str, usize)]) {
        let decoder = format!("{decoder} / Conv2d(4, 3, 3, 1, 1)");
        let architecture = Architecture::parse("Conv2d(3, 4, 3, 1, 1) / MaxPool(2, 2, 0)", &decoder).unwrap();
        let layers = architecture.plan([3, 32, 32]).unwrap().decoder;
        let mut order: Vec<_> =
            order(&layers).iter().map(|step| (layers[step.layer].layer.to_string(), step.n_copies)).collect();
        order.pop();
        let order: Vec<_> = order.iter().map(|(layer, n_copies)| (layer.as_str(), *n_copies)).collect();
        assert_eq!(order, wanted);
    }

    #[test]
    fn upsampling_waits_for_what_treats_all_values_alike() {
        check_order(
            "Upsample(2) / BatchNorm2d(4) / Dropout(0.5) / ReLU()",
            &[("BatchNorm2d(4)", 4), ("ReLU()", 4), ("Upsample(scale_factor=2)", 1), ("Dropout(0.5)", 1)],
        );
    }

    #[test]
    fn dropout_stays_where_values_are_dropped_one_by_one() {
        check_order(
            "Upsample(2) / Dropout(0.5) / BatchNorm2d(4) / Tanh()",
            &[("Upsample(scale_factor=2)", 1), ("Dropout(0.5)", 1), ("BatchNorm2d(4)", 1), ("Tanh()", 1)],
        );
    }
}
