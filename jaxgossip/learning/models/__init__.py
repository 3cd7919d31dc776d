"""Models that nodes train: the interface, registered models, and models built from two functions."""

from jaxgossip.core.registry import Registry
from jaxgossip.learning.models.builders import adaline as adaline
from jaxgossip.learning.models.builders import logistic as logistic
from jaxgossip.learning.models.builders import mlp as mlp
from jaxgossip.learning.models.builders import pegasos as pegasos
from jaxgossip.learning.models.builders import softmax as softmax
from jaxgossip.learning.models.clusters import kmeans as kmeans
from jaxgossip.learning.models.images import cnn as cnn
from jaxgossip.learning.models.images import gn_lenet as gn_lenet
from jaxgossip.learning.models.images import lenet as lenet
from jaxgossip.learning.models.images import resnet8 as resnet8
from jaxgossip.learning.models.images import resnet18 as resnet18
from jaxgossip.learning.models.model import Loss as Loss
from jaxgossip.learning.models.model import Model as Model
from jaxgossip.learning.models.model import cross_entropy_loss as cross_entropy_loss
from jaxgossip.learning.models.model import from_functions as from_functions
from jaxgossip.learning.models.model import hinge_loss as hinge_loss
from jaxgossip.learning.models.model import logistic_loss as logistic_loss
from jaxgossip.learning.models.model import predict as predict
from jaxgossip.learning.models.model import squared_loss as squared_loss
from jaxgossip.learning.models.modules import from_equinox as from_equinox
from jaxgossip.learning.models.modules import from_linen as from_linen
from jaxgossip.learning.models.modules import from_nnx as from_nnx
from jaxgossip.learning.models.naive_bayes import naive_bayes as naive_bayes
from jaxgossip.learning.models.sequences import embedding_bag as embedding_bag
from jaxgossip.learning.models.sequences import gpt as gpt
from jaxgossip.learning.models.sequences import lstm_char as lstm_char

MODELS = Registry(
    "model",
    [
        logistic, pegasos, adaline, softmax, mlp, cnn, lenet, gn_lenet, resnet8, resnet18, lstm_char, gpt, embedding_bag,
        kmeans, naive_bayes,
    ],
)  # fmt: skip
"""Models that ``learning.model`` can name."""
