import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { assetPath } from '../asset.js';
import { pictureSize, type Task } from './task.js';

const pictureBytes = pictureSize * pictureSize * 3;
/** easy-VQA's own split: pictures below this number are its train images, the others its test images. */
const trainPictures = 4000;

interface EasyVqa {
  images: Uint8Array;
  /** [picture, question, answer] */
  train: [number, string, string][];
  evaluation: [number, string, string][];
}

let loaded: EasyVqa | undefined;
function load(): EasyVqa {
  if (loaded) return loaded;
  const read = (name: string): Buffer => gunzipSync(readFileSync(assetPath(`data/easy-vqa/${name}`)));
  const questions = JSON.parse(read('questions.json.gz').toString()) as [number, string, string][];
  loaded = {
    images: read('images.bin.gz'),
    train: questions.filter(([picture]) => picture < trainPictures),
    evaluation: questions.filter(([picture]) => picture >= trainPictures),
  };
  return loaded;
}

/** Every word of easy-VQA's questions and answers. */
export function easyVqaWords(): string[] {
  const { train, evaluation } = load();
  return [...new Set([...train, ...evaluation].flatMap(([, question, answer]) => [...question.split(' '), answer]))];
}

/** Public images and questions from outside this project: easy-VQA (Victor Zhou, MIT), see easy-vqa/pack.py. */
export const readEasyVqa: Task = {
  name: 'easy_vqa',
  kind: 'held_out',
  // The accuracy on the test split without the picture: each question's most frequent answer in the train split.
  chance: 67.6,
  sample(rng, split) {
    const { images, [split]: questions } = load();
    const [picture, prompt, answer] = rng.pick(questions);
    const image = images.slice(picture * pictureBytes, (picture + 1) * pictureBytes);
    return { image, prompt, answer, content: String(picture) };
  },
};
