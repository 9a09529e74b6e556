from .base import Medium as Medium
from .rows import MEDIA as MEDIA
from .rows import medium_of as medium_of
from .rows import medium_of_files as medium_of_files
from .rows import medium_of_suffix as medium_of_suffix
