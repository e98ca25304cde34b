`
from dataclasses import dataclass
T = TypeVar("T")
Vec = list[float]
@dataclass
class P:
    """A person.

    Attributes:
        name: Full
    """
    name: str
    age: "int | None" = None

def f(xs: Vec, p: Optional[P], *, k: int = 5, loud: bool = False, f: Callable[[T], T] = str) -> tuple[str, np.float32]:
    """The nearest.

    Args:
        xs (list[float]): The numbers
        k: How many [metavar: K]

    Returns:
        str: A name
    """
