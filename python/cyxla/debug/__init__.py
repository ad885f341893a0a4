"""Looking into compiled programs while they run: printing, callbacks, breakpoints."""

from cyxla._transform.effects import DebugEffect as DebugEffect
from cyxla._transform.effects import OrderedDebugEffect as OrderedDebugEffect
from cyxla.debug.calls import callback as callback
from cyxla.debug.debugger import breakpoint as breakpoint
from cyxla.debug.printing import log as log
from cyxla.debug.printing import print as print
