import type { RgbPicture } from '../data/rgb-picture.js';
import type { PreparedPicture } from './model.js';

/** Makes of pictures what a family's vision tower takes. It runs on the host, beside the training steps. */
export interface PictureProcessor {
  /** What a chat template writes for a picture, such as `<image>`. */
  readonly token: string;
  /**
   * @param pictures all pictures of one conversation: some families see a single picture more closely
   * @throws Error when a picture has no pixels, or is too narrow for the model
   */
  prepare(pictures: readonly RgbPicture[]): PreparedPicture[];
  /** What stands for a prepared picture in the text: a placeholder for each visual token, and what surrounds them. */
  text(picture: PreparedPicture): string;
}
