import type { Rng } from '@plumbline/shared/rng';
import { chartTask } from './chart.js';
import { readDigits } from './digits.js';
import { readEasyVqa } from './easy-vqa.js';
import { colourNames, drawObjects, drawScene, grid, sceneContent, shapeNames, type SceneObject } from './scene.js';
import { drawInSplit, type DrawnQuestion, type Split, type Task } from './task.js';

interface Question {
  objects: SceneObject[];
  prompt: string;
  answer: string;
}

/** Makes a task whose picture is a scene: `ask` draws objects and a question about them. */
export function sceneTask(name: string, kind: Task['kind'], chance: number, ask: (rng: Rng) => Question): Task {
  return {
    name,
    kind,
    chance,
    sample(rng: Rng, split: Split): DrawnQuestion {
      const { drawn, content } = drawInSplit(
        split,
        () => ask(rng),
        (question) => sceneContent(question.objects),
      );
      const { objects, prompt, answer } = drawn;
      return { image: drawScene(rng, objects), prompt, answer, content };
    },
  };
}

const someObjects = (rng: Rng): SceneObject[] => drawObjects(rng, 1 + rng.integer(4), true);
const half = (index: number, first: string, second: string): string => (index < grid / 2 ? first : second);

/** The base model's tasks. Two of the eight use public data from outside this project: digits and easy_vqa. */
export const heldOutTasks: readonly Task[] = [
  sceneTask('colour', 'held_out', 100 / 8, (rng) => {
    const objects = someObjects(rng);
    const { shape, colour } = rng.pick(objects);
    return { objects, prompt: `what colour is the ${shape} ?`, answer: colour };
  }),
  sceneTask('shape', 'held_out', 100 / 6, (rng) => {
    const objects = someObjects(rng);
    const { shape, colour } = rng.pick(objects);
    return { objects, prompt: `what shape is the ${colour} object ?`, answer: shape };
  }),
  sceneTask('position', 'held_out', 100 / 4, (rng) => {
    const objects = someObjects(rng);
    const { shape, colour, row, column } = rng.pick(objects);
    const answer = `${half(row, 'top', 'bottom')} ${half(column, 'left', 'right')}`;
    return { objects, prompt: `where is the ${colour} ${shape} ?`, answer };
  }),
  sceneTask('yes_no', 'held_out', 100 / 2, (rng) => {
    const objects = someObjects(rng);
    const asked = { ...rng.pick(objects) };
    const present = rng.uniform() < 0.5;
    // A "no" differs in one word only, so that neither the colour nor the shape alone reveals the answer.
    if (!present && rng.uniform() < 0.5) asked.colour = rng.pick(colourNames.filter((name) => name !== asked.colour));
    else if (!present) asked.shape = rng.pick(shapeNames.filter((name) => name !== asked.shape));
    return { objects, prompt: `is there a ${asked.colour} ${asked.shape} ?`, answer: present ? 'yes' : 'no' };
  }),
  // A guess names one object, of 8 colours and 6 shapes; half of the pictures have one object.
  sceneTask('caption', 'held_out', 100 / 96, (rng) => {
    const objects = drawObjects(rng, 1 + rng.integer(2), true);
    const answer = objects.map(({ colour, shape }) => `a ${colour} ${shape}`).join(' and ');
    return { objects, prompt: 'describe the picture', answer };
  }),
  readDigits,
  readEasyVqa,
  chartTask,
];
