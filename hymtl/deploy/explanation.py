"""Which pixels spoke for a class: Grad-CAM, by captum.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.
int8 kernels have no gradients, so an int8 network is explained by its float twin, which has the same weights.
"""

import threading

import torch
from torch import Tensor, nn

from hymtl.data import transforms
from hymtl.deploy import twin
from hymtl.deploy.artifact import Artifact
from hymtl.errors import HymtlError
from hymtl.network import Classifier


class Explainer:
    """The float network of an artifact, and the layer of it that still knows where things are."""

    def __init__(self, loaded: Artifact) -> None:
        """
        Raises:
            HymtlError: if captum is not installed, or the network has no layer to look at.
        """
        try:
            from captum.attr import LayerGradCam
        except ImportError as error:
            raise HymtlError(
                f"Explanations need captum, which could not be imported ({error}). "
                'Install it: pip install "hymtl[explain]".'
            ) from error
        self._expected = loaded.preprocessing
        self.of_twin = "engine" in loaded.strategy
        network = twin.float_network(loaded)
        self._cam = LayerGradCam(network, _last_maps(network, self._blank()))
        self._turn = threading.Lock()  # captum hooks into the one network

    def __call__(self, picture: Tensor, label: int) -> Tensor:
        """How much each pixel of a prepared picture, uint8 (C, size, size), spoke for a class.

        float32 (size, size), 0 to 1, the most telling pixel 1; all 0 where nothing spoke for it.
        """
        batch = transforms.normalize(picture[None], self._expected).requires_grad_()
        with self._turn:
            maps = self._cam.attribute(batch, target=label, relu_attributions=True).detach()
        heat = nn.functional.interpolate(maps, self._expected.size, mode="bilinear")[0, 0]
        return heat / heat.max().clamp(min=1e-12)

    def _blank(self) -> Tensor:
        return torch.zeros(1, self._expected.channels, self._expected.size, self._expected.size)


@torch.no_grad()
def _last_maps(network: Classifier, picture: Tensor) -> nn.Module:
    """The last module that gives maps (N, C, H, W) of more than one pixel."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            found.append(module)

    handles = [module.register_forward_hook(note) for module in network.backbone.modules()]
    network(picture)
    for handle in handles:
        handle.remove()
    if not found:
        raise HymtlError("The network has no layer with maps, so nothing says where in a picture it looked.")
    return found[-1]
