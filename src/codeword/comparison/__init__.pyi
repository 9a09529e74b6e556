from .compare import compare as compare
from .plan import Setting as Setting
from .plan import read_setting as read_setting
from .results import Comparison as Comparison
from .results import Trial as Trial
