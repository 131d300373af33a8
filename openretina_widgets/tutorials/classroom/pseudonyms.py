"""Names that say nothing about a person, and can be read from the back of a room."""

from __future__ import annotations

import random
import secrets

_ADJECTIVES = """amber ample azure bold brave bright brisk broad calm cheery clear clever cosy crisp
curious daring deft eager early fair fearless fleet fond frank fresh gentle glad golden grand happy
hardy honest jolly keen kind lively loyal lucky mellow merry mild neat nimble noble patient plucky
polite proud quick quiet rapid ready robust rosy rural sharp silver sleek smart snowy solid spry
steady sunny swift tidy tranquil trusty upbeat vivid warm wild willing wise witty young"""
_ANIMALS = """alpaca antelope auk avocet badger beaver bison bittern bobcat bunting camel caribou
chamois cheetah condor cormorant crane curlew deer dolphin dormouse dove duck eagle egret eider elk
falcon ferret finch fox gannet gazelle gecko gibbon goldcrest grebe gull hare harrier hedgehog
heron hoopoe ibex ibis jackdaw jay kestrel kingfisher kite kiwi koala lapwing lark lemming lemur
linnet llama lynx magpie marmot marten merlin mole moose narwhal newt nuthatch ocelot okapi osprey
otter owl oyster panda partridge pelican penguin petrel pika pipit plover pony puffin quail rabbit
raven robin salmon sandpiper seal siskin skylark sparrow squirrel starling stilt stork swallow swan
swift tapir teal tern thrush toad trout turtle vole walrus weasel whale wigeon wombat wren
yak zebra"""


def pseudonym(generator: random.Random | None = None) -> str:
    """Return an adjective and an animal, such as ``"quiet heron"``.

    Parameters
    ----------
    generator
        Source of chance; None draws from the operating system's, so that nobody can tell who drew.
    """
    chance = secrets.SystemRandom() if generator is None else generator
    return f"{chance.choice(_ADJECTIVES.split())} {chance.choice(_ANIMALS.split())}"
