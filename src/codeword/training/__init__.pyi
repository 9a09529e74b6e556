from .run import Run as Run
from .stages import train as train
