"""Warnings of libraries that a reader of a training log can do nothing about, each with its reason.

They are filtered when hymtl is imported; the tests take the same list.
"""

import warnings

# Beginnings of messages, as regular expressions.
FILTERS = (
    # torch prints its deprecation at every prepare and convert; hymtl pins torch below the removal.
    "torch.ao.quantization is deprecated",
    "torch.quantize_per_tensor, torch.quantize_per_channel and other",
    "TypedStorage is deprecated",
    # The fused observers keep passing the argument that observers now ignore; nothing of hymtl uses it.
    "Please use quant_min and quant_max to specify the range",
    # The rebuild of an int8 network converts before it loads: its observers have seen nothing, on purpose.
    "must run observer before calling calculate_qparams",
    # torchao 0.18 and Lightning 2.6 use a name that torch 2.15 has changed; only they can follow.
    ".*LeafSpec.* is deprecated",
    # Lightning, when training starts: what is frozen is in eval mode on purpose.
    "Found .* module.s. in eval mode",
    # Lightning: metrics are logged once an epoch, whatever the interval.
    "The number of training batches .* is smaller than the logging interval",
    # Lightning: a run goes on in its folder on purpose.
    "Checkpoint directory .* exists and is not empty",
    "Experiment logs directory .* exists and is not empty",
    # Hydra: conf/hydra/launcher/ has presets by the names that the launchers themselves have, which it also checks.
    r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema",
    # Lightning: with pictures decoded once, workers would only take cores from the network (see hymtl/data/loader.py).
    ".*does not have many workers",
)


def filter_warnings() -> None:
    """Leave these warnings out from now on."""
    for message in FILTERS:
        warnings.filterwarnings("ignore", message=message)
