"""The learning task: data sets, partitions over nodes, models, losses, optimizers and problems.

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip.learning import augmentation as augmentation
from jaxgossip.learning import models as models
from jaxgossip.learning import optimizers as optimizers
from jaxgossip.learning import partitions as partitions
from jaxgossip.learning import privacy as privacy
from jaxgossip.learning.augmentation import AUGMENTATIONS as AUGMENTATIONS
from jaxgossip.learning.data import datasets as datasets
from jaxgossip.learning.data.backdoor import Backdoor as Backdoor
from jaxgossip.learning.data.datasets import DATAFILES as DATAFILES
from jaxgossip.learning.data.datasets import DATASETS as DATASETS
from jaxgossip.learning.data.datasets import Dataset as Dataset
from jaxgossip.learning.data.datasets import from_arrays as from_arrays
from jaxgossip.learning.data.datasets import load_file as load_file
from jaxgossip.learning.metrics import METRICS as METRICS
from jaxgossip.learning.metrics import Metric as Metric
from jaxgossip.learning.models import MODELS as MODELS
from jaxgossip.learning.models.model import Model as Model
from jaxgossip.learning.models.model import from_functions as from_functions
from jaxgossip.learning.optimizers import OPTIMIZERS as OPTIMIZERS
from jaxgossip.learning.optimizers import RATES as RATES
from jaxgossip.learning.optimizers import Optimizer as Optimizer
from jaxgossip.learning.optimizers import rates as rates
from jaxgossip.learning.partitions import PARTITIONS as PARTITIONS
from jaxgossip.learning.partitions.partition import Partition as Partition
from jaxgossip.learning.partitions.poisoning import flip_labels as flip_labels
from jaxgossip.learning.partitions.poisoning import plant_backdoor as plant_backdoor
from jaxgossip.learning.privacy import DifferentialPrivacy as DifferentialPrivacy
from jaxgossip.learning.problem import FiniteSum as FiniteSum
from jaxgossip.learning.problem import Problem as Problem
from jaxgossip.learning.problem import started as started
from jaxgossip.learning.problem import with_init_gain as with_init_gain
from jaxgossip.learning.quadratics import averaging as averaging
from jaxgossip.learning.quadratics import isotropic_quadratic as isotropic_quadratic
from jaxgossip.learning.quadratics import least_squares as least_squares
from jaxgossip.learning.ratings import ratings as ratings
from jaxgossip.learning.supervised import classification as classification
from jaxgossip.learning.supervised import supervised as supervised
from jaxgossip.learning.tasks import TASKS as TASKS
