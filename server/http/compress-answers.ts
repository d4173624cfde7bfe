import { constants } from 'node:zlib';
import compression from 'compression';
import type { RequestHandler } from 'express';

/**
 * Compresses JSON answers by `Accept-Encoding`, Brotli before gzip. Downloads are not compressed: they are as fast as a
 * disk, and are mostly fetched on the same machine. Brotli's window is small, so that a stream takes less than 1 MB.
 */
export const compressAnswers = (): RequestHandler =>
  compression({
    filter: (_request, response) => /^application\/json\b/.test(String(response.getHeader('Content-Type'))),
    brotli: { params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_LGWIN]: 18 } },
  });
