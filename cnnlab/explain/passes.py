"""One forward pass that yields the prediction and all that gradient methods need: they, and other classes, share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain.layers import layers_of, no_maps
from cnnlab.explain.targets import Target, score
from cnnlab.inference.capturing import as_taken, capturing, ready

_MOST_WITHOUT_SHARING = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """What a net made of some pictures. Belongs to whoever made it; the model in it is shared and stays as it is.

    Attributes:
        model: In evaluation mode, with capture points.
        x: (N, C, H, W), on the model's device and in its precision.
        logits: (N, classes); hold the graph back to the first captured layer, and no further.
        activations: Captured layer → its output, (N, K, h, w).
    """

    model: nn.Module
    x: Tensor
    logits: Tensor
    activations: Mapping[str, Tensor]

    def gradients(self, target: Target, layer: str) -> Tensor:
        """How the score changes with each cell of a captured layer, (N, K, h, w), float32.

        Costs the layers behind it only. Zeros where the score does not depend on the layer.

        Raises:
            InputRejected: There is no such class or layer.
            Unsupported: The net makes no maps.
        """
        activation = self.activation(layer)
        with torch.inference_mode(False), torch.enable_grad():
            # The pictures of a batch do not influence each other in evaluation mode: the sum has the gradients of each.
            total = score(self.logits, target).sum()
            if not total.requires_grad:
                return torch.zeros_like(activation, dtype=torch.float32, requires_grad=False)
            (gradients,) = torch.autograd.grad(
                total, activation, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        return gradients.float()

    def maps(self, layer: str) -> Tensor:
        """Output of a captured layer, (N, K, h, w), float32, without its graph. Not to be changed.

        Raises:
            InputRejected: The layer was not captured, or makes no maps.
            Unsupported: No layer of the net makes any.
            RunFailed: They are NaN or ∞, which the layers behind may hide from the logits.
        """
        maps_nkhw = self.activation(layer).detach().float()
        # A sum is finite only where all that it adds up is, and ten times as quick to tell.
        if not (bool(maps_nkhw.sum().isfinite()) or bool(torch.isfinite(maps_nkhw).all())):
            raise RunFailed(
                f"Layer {layer} makes NaN or ∞ of this picture: the net's weights are broken, or its numbers are too "
                "large for their precision. Choose another layer, other weights, or float32."
            )
        return maps_nkhw

    def activation(self, layer: str) -> Tensor:
        """As `maps`, in the net's precision, with its place in the graph of `logits`; may be NaN."""
        output = self.activations.get(layer)
        if output is None:
            raise InputRejected(
                f"Layer {layer!r} is not in this pass; it holds {', '.join(self.activations) or 'none'}."
            )
        if output.ndim != 4:
            if not layers_of(self.model, self.x):
                raise no_maps()
            raise InputRejected(
                f"Layer {layer} makes {' × '.join(map(str, output.shape[1:]))} numbers of each picture, which have no "
                "places in it. Choose a layer that makes maps."
            )
        return output

    def logits_with(self, layer: str, edit: Callable[[Tensor], Tensor]) -> Tensor:
        """As the function of this name, for the model and the pictures of this pass."""
        return logits_with(self.model, self.x, layer, edit)


def look(model: nn.Module, x: Tensor, layers: Sequence[str] = ()) -> Pass:
    """Run a net on pictures and keep what its layers made, ready for gradients.

    Args:
        model: Of `share`, or any other, which stays as it is. One in training is explained as it is at this moment.
        x: (N, C, H, W) as `Preprocessing` makes it; moved to the model's device and precision. Stays as it is, also
            where the net works in place.
        layers: Which to keep.

    Raises:
        InputRejected: A layer is not there, or the net makes no logits, or x does not fit.
        RunFailed: The net answers with NaN or ∞.
    """
    model = ready(model)
    with torch.inference_mode(False), torch.enable_grad():
        x = as_taken(model, x)
        with capturing(model, layers) as activations:
            logits = model(x.clone())
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputRejected(
            "The net does not end with one row of logits for each picture, so no class can be asked for."
        )
    if not bool(torch.isfinite(logits).all()):
        raise RunFailed("The net answers with NaN or ∞: its weights or its input are broken. Choose other weights.")
    return Pass(model=model, x=x, logits=logits, activations=activations)


def logits_with(model: nn.Module, x: Tensor, layer: str, edit: Callable[[Tensor], Tensor]) -> Tensor:
    """What a net says when a layer makes something else; without gradients.

    Args:
        model: Of `share` or `ready`.
        x: (N, C, H, W); stays as it is.
        layer: Any layer that makes one tensor.
        edit: Gets the layer's output, (N, K, h, w), and answers with a tensor of its own. For a single picture that
            may be a batch (B, K, h, w): the layers before run once, and those behind it on B. It may be called several
            times.

    Returns:
        (N, classes) or (B, classes); (1, classes) where nothing that the layer makes reaches the logits.

    Raises:
        InputRejected: There is no such layer.
    """
    size = 1

    def counted(output: Tensor) -> Tensor:
        nonlocal size
        answer = edit(output)
        size = len(answer)
        return answer

    with torch.no_grad():
        try:
            with capturing(model, edits={layer: counted}):
                return model(x.clone())
        except RuntimeError:
            if len(x) != 1 or size == 1:
                raise
        # A branch that goes around the layer brought one picture to where the batch arrived, and the two could not be
        # joined (concatenation). So the layers before have to work on as many, and on few at a time.
        parts = []
        for rows in torch.arange(size, device=x.device).split(_MOST_WITHOUT_SHARING):
            with capturing(model, edits={layer: lambda output, rows=rows: edit(output[:1])[rows]}):
                parts.append(model(x.repeat(len(rows), 1, 1, 1)))
        return torch.cat(parts)
