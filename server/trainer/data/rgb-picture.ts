/** A decoded picture: red, green and blue of each pixel, a byte each, row by row. */
export interface RgbPicture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** The most pixels of a picture: a 108-megapixel camera's picture passes, and takes 330 MB. */
export const maxPicturePixels = 2 ** 27;
