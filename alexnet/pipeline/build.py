"""The engine that fits the machine."""

from alexnet.config.training import Training
from alexnet.models.network import Network
from alexnet.models.numerics import PRECISIONS
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import BatchShape, Engine, EngineConfig
from alexnet.pipeline.pipeline import Pipeline
from alexnet.pipeline.single_process import SingleProcess


def build_engine(net: Network, settings: Training, ranks: Ranks) -> Engine:
    """``net`` as a pipeline over the ranks, or in a single process if there is one rank."""
    pipe = settings.pipeline
    config = EngineConfig(pipe.cuts, pipe.schedule, pipe.microbatches, PRECISIONS[settings.precision])
    if ranks.count == 1:
        return SingleProcess(net, config, ranks.device)
    return Pipeline(net, config, BatchShape(settings.batch_size, settings.crop_size), ranks)
