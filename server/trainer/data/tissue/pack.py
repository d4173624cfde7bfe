"""Packs four public pictures into one small file from which the trainer cuts its tissue and texture questions.

Usage: pip install numpy pillow scikit-image==0.26.0 && python3 pack.py

The PyPI package scikit-image contains them; its docstrings (skimage/data/_fetchers.py) name the sources:
  brick   CC0Textures, Bricks25, CC0          grass   linolafett on DeviantArt, CC0
  gravel  CC0Textures, Gravel04, CC0
  tissue  ihc.png: colonic glands, immunohistochemistry of FHL2 with DAB (brown) and haematoxylin (blue), taken at the
          Center for Microscopy and Molecular Imaging; "no known copyright restrictions"
Each is 512x512 and halved to 256x256 by averaging; grey pictures get three equal channels.
  pictures.bin.gz  brick, grass, gravel, tissue: 256*256*3 bytes each, red green blue, row by row
"""

import gzip
import pathlib

import numpy as np
import skimage
from PIL import Image

here = pathlib.Path(__file__).parent
source = pathlib.Path(skimage.__file__).parent / "data"
pixels = []
for name in ("brick", "grass", "gravel", "ihc"):
    picture = np.asarray(Image.open(source / f"{name}.png").convert("RGB"), dtype=np.float32)
    pixels.append(picture.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8))

with open(here / "pictures.bin.gz", "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
    packed.write(np.stack(pixels).tobytes())
