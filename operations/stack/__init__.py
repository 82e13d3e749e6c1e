"""
The whole product as one process tree: channel sandbox, web, worker, beat, on the services of `devservices`; on request
also what a rush needs: drainer, pacer, the edge in front, and the pages that it serves from disk.

Each program hangs on a leash (`operations.leash`): it starts again when it dies, and is killed with all it
started when the supervisor ends, however that happens. `stack.json` tells other commands what runs where.
"""

from operations.stack.ports import remembered_ports
from operations.stack.programs import CHECKOUT, EXTRAS, StackError, possible_extras
from operations.stack.record import ProgramInfo, StackInfo, running_stack, stop_running
from operations.stack.tree import Stack

__all__ = [
    "CHECKOUT",
    "EXTRAS",
    "ProgramInfo",
    "Stack",
    "StackError",
    "StackInfo",
    "possible_extras",
    "remembered_ports",
    "running_stack",
    "stop_running",
]
