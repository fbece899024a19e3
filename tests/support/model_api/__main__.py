"""python3 FOLDER --listen HOST:PORT"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from model_api.server import main  # noqa: E402  the folder above is found only now

main()
