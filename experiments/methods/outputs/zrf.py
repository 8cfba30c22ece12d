"""Zero Retrain Forgetting (Chundawat et al., AAAI 2023): does a model answer like one that was never trained?"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from experiments.interfaces import Samples
from experiments.methods.outputs.pointwise import jensen_shannon, outputs
from experiments.networks.reinitialised import reinitialised


def zero_retrain_forgetting(model: nn.Module, samples: Samples, *, seed: int) -> Float[Tensor, ""]:
    """How much the model answers like one that was never trained: 0 (nothing in common) to 1 (the same).

    Zero Retrain Forgetting (Chundawat et al., "Can Bad Teaching Induce Forgetting?", AAAI 2023): 1 - the mean
    Jensen-Shannon divergence in bits between the model's predictions and those of its own architecture drawn anew. The
    authors' program reverses the divergence's terms and averages over classes; here it is the textbook one. A good
    value is that of a model retrained without the samples, not 1. `seed` draws the untrained network.
    """
    untrained = outputs(reinitialised(model, seed), samples)
    return 1 - jensen_shannon(outputs(model, samples), untrained).mean() / math.log(2)
