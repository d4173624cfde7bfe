"""Packs the public easy-VQA data set (MIT licence) into two small files that the trainer reads.

Usage: pip install easy-vqa pillow numpy && python3 pack.py

easy-VQA is by Victor Zhou; the PyPI package of that name contains its images and questions. Images are 64x64 and
halved to 32x32 by averaging; questions get a space before the question mark, and answers stay unchanged.
  images.bin.gz      5,000 pictures of 32*32*3 bytes, red green blue, row by row: 4,000 of its train split, 1,000 of test
  questions.json.gz  [[picture, question, answer], ...] with the picture's number in images.bin
"""

import gzip
import json
import pathlib

import easy_vqa
import numpy as np
from PIL import Image

here = pathlib.Path(__file__).parent
pixels, questions = [], []
for paths, asked in (
    (easy_vqa.get_train_image_paths(), easy_vqa.get_train_questions()),
    (easy_vqa.get_test_image_paths(), easy_vqa.get_test_questions()),
):
    number = {}
    for image_id, path in sorted(paths.items()):
        number[image_id] = len(pixels)
        picture = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
        pixels.append(picture.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8))
    for question, answer, image_id in zip(*asked):
        questions.append([number[image_id], question.replace("?", " ?"), answer])


def write(name: str, content: bytes) -> None:
    with open(here / name, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        packed.write(content)


write("images.bin.gz", np.stack(pixels).tobytes())
write("questions.json.gz", json.dumps(questions, separators=(",", ":")).encode())
print(f"{len(pixels)} pictures, {len(questions)} questions")
