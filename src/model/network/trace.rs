//! The backward pass through a network whose fused blocks have their own gradients.

use super::block::Passed;
use super::side_by_side;
use crate::Result;
use crate::error::TorchContext;
use tch::{TchError, Tensor};

/// What the forward pass records: runs of layers that libtorch's autograd handles, and the fused blocks between them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    cuts: Vec<Cut>,
    /// The parameters of the layers after the last block.
    trained: Vec<Trained>,
}

/// A parameter.
#[derive(Debug)]
struct Trained {
    /// Offset of its layer's values in the flat parameter tensor.
    place: usize,
    tensor: Tensor,
}

/// A block and the layers before it.
#[derive(Debug)]
struct Cut {
    trained: Vec<Trained>,
    /// The output of the layers before the block.
    input: Tensor,
    place: usize,
    block: Passed,
    /// The block's output: a leaf of libtorch's graph for the layers that follow.
    output: Tensor,
}

impl Trace {
    /// Takes note of a layer at `place` that is about to use its trained tensors.
    pub(super) fn add<'a>(&mut self, place: usize, tensors: impl Iterator<Item = &'a Tensor>) {
        self.trained.extend(tensors.map(|tensor| Trained { place, tensor: tensor.shallow_clone() }));
    }

    /// Takes note of a block, whose batch norm is at `place`; gives its output as what the next layer is to take.
    pub(super) fn cut(
        &mut self,
        input: Tensor,
        place: usize,
        (output, block): (Tensor, Passed),
    ) -> Result<Tensor, TchError> {
        let output = output.f_set_requires_grad(true)?;
        let trained = std::mem::take(&mut self.trained);
        self.cuts.push(Cut { trained, input, place, block, output: output.shallow_clone() });
        Ok(output)
    }

    /// The gradient of `loss` with respect to every parameter, in flat pieces that follow each other as the values do in
    /// [`Network::parameters`](super::Network::parameters).
    pub(crate) fn gradients(self, loss: &Tensor) -> Result<Vec<Tensor>> {
        self.try_gradients(loss).doing("working out the gradient")
    }

    fn try_gradients(self, loss: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let mut gradients: Vec<(usize, Tensor)> = Vec::new();
        let mut root = loss.shallow_clone();
        let mut trained = self.trained;
        for cut in self.cuts.into_iter().rev() {
            let mut by_stretch = backward(&root, &trained, Some(&cut.output))?;
            let by_output = by_stretch.pop().expect("the block's output is the last");
            gradients.extend(trained.iter().map(|trained| trained.place).zip(by_stretch));
            let by_block = cut.block.gradients(&by_output)?;
            gradients.extend([(cut.place, by_block.weight), (cut.place, by_block.bias)]);
            // libtorch differentiates a scalar: here one whose gradient with respect to the input is this.
            root = flat(&cut.input)?.f_dot(&flat(&by_block.input)?)?;
            trained = cut.trained;
        }
        gradients.extend(trained.iter().map(|trained| trained.place).zip(backward(&root, &trained, None)?));
        // Keeps the order within a layer.
        gradients.sort_by_key(|&(place, _)| place);
        gradients.iter().map(|(_, gradient)| gradient.f_reshape([-1])).collect()
    }
}

/// The gradient of `root` with respect to parameters and to the input of their layers.
fn backward(root: &Tensor, trained: &[Trained], begin: Option<&Tensor>) -> Result<Vec<Tensor>, TchError> {
    let inputs: Vec<&Tensor> = trained.iter().map(|trained| &trained.tensor).chain(begin).collect();
    match inputs.is_empty() {
        true => Ok(Vec::new()),
        false => Tensor::f_run_backward(&[root], &inputs, false, false),
    }
}

/// All values of images `[n, c, h, w]` in the order in which they lie in memory, those of a pixel side by side.
fn flat(images: &Tensor) -> Result<Tensor, TchError> {
    side_by_side(images)?.f_view([-1])
}
