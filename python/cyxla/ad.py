"""What `vjp(...)[1].with_refs` is told about each argument, and what it answers."""

from cyxla._transform.pullback import DidntWant as DidntWant
from cyxla._transform.pullback import DontWant as DontWant
from cyxla._transform.pullback import GradRef as GradRef
from cyxla._transform.pullback import GradValue as GradValue
