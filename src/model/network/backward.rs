//! The backward pass from a loss to the weights, across fused layers that have a gradient of their own.
//!
//! tch cannot register a backward function. So the graph is cut at each fused layer: the backward pass is libtorch's
//! up to one, then ours, then libtorch's again.

use super::channels_last::nhwc;
use super::fused_norm::Saved;
use crate::Result;
use crate::error::TorchContext;
use tch::{TchError, Tensor};

/// What a forward pass saves for the backward pass: stretches of layers that autograd differentiates, and the fused layers
/// between them.
#[derive(Debug, Default)]
pub(crate) struct Backward {
    cuts: Vec<Cut>,
    /// The trained tensors of the stretch after the last fused layer.
    trained: Vec<Trained>,
}

/// A parameter.
#[derive(Debug)]
struct Trained {
    /// Where its layer's values begin among all trained ones.
    offset: usize,
    tensor: Tensor,
}

/// A fused layer and the stretch before it.
#[derive(Debug)]
struct Cut {
    trained: Vec<Trained>,
    /// The output of the layers before the block.
    input: Tensor,
    offset: usize,
    saved: Saved,
    /// The fused layer's output: a leaf of autograd's graph for the layers that follow.
    output: Tensor,
}

impl Backward {
    /// Takes note of a layer at `offset` that is about to use its trained tensors.
    pub(super) fn add(&mut self, offset: usize, tensors: &[Tensor]) {
        self.trained.extend(tensors.iter().map(|tensor| Trained { offset, tensor: tensor.shallow_clone() }));
    }

    /// Takes note of a fused layer, whose batch norm is at `offset`; gives its output as what the next layer is to take.
    pub(super) fn cut(
        &mut self,
        input: Tensor,
        offset: usize,
        (output, saved): (Tensor, Saved),
    ) -> Result<Tensor, TchError> {
        let output = output.f_set_requires_grad(true)?;
        let trained = std::mem::take(&mut self.trained);
        self.cuts.push(Cut { trained, input, offset, saved, output: output.shallow_clone() });
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
            let by_output = by_stretch.pop().expect("the fused layer's output is the last");
            gradients.extend(trained.iter().map(|trained| trained.offset).zip(by_stretch));
            let by_fused = cut.saved.gradients(&by_output)?;
            gradients.extend([(cut.offset, by_fused.weight), (cut.offset, by_fused.bias)]);
            // Autograd begins at a scalar: at one whose gradient by the input is this.
            root = flat(&cut.input)?.f_dot(&flat(&by_fused.input)?)?;
            trained = cut.trained;
        }
        gradients.extend(trained.iter().map(|trained| trained.offset).zip(backward(&root, &trained, None)?));
        // Keeps the order within a layer.
        gradients.sort_by_key(|&(offset, _)| offset);
        gradients.iter().map(|(_, gradient)| gradient.f_reshape([-1])).collect()
    }
}

/// The gradient of `root` by trained tensors and by the input of their stretch.
fn backward(root: &Tensor, trained: &[Trained], begin: Option<&Tensor>) -> Result<Vec<Tensor>, TchError> {
    let inputs: Vec<&Tensor> = trained.iter().map(|trained| &trained.tensor).chain(begin).collect();
    match inputs.is_empty() {
        true => Ok(Vec::new()),
        false => Tensor::f_run_backward(&[root], &inputs, false, false),
    }
}

/// All values of images `[n, c, h, w]` in the order in which they lie in memory, those of a pixel side by side.
fn flat(images: &Tensor) -> Result<Tensor, TchError> {
    nhwc(images)?.f_view([-1])
}
