from tests.views_world import *
from tests.views_world import World, every_view, asker, NORTH
def test_all(world: World) -> None:
    for name, text in every_view(world, asker(), NORTH):
        print(name, len(text))
