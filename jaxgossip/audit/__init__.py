"""What attackers at nodes learn of the others: values solved for, and samples that models were trained on."""

from jaxgossip.audit.knowledge import Recovery as Recovery
from jaxgossip.audit.knowledge import knowledge_matrix as knowledge_matrix
from jaxgossip.audit.knowledge import reconstruct_updates as reconstruct_updates
from jaxgossip.audit.knowledge import reconstruct_values as reconstruct_values
from jaxgossip.audit.knowledge import recovered as recovered
from jaxgossip.audit.membership import Roc as Roc
from jaxgossip.audit.membership import lira as lira
from jaxgossip.audit.membership import roc as roc
