import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import express, { Router, type RequestHandler } from 'express';

/**
 * Serves the dashboard's static export, in the copies that `dashboard-build.ts` compressed. Next.js starts its pages with
 * inline scripts, which differ from page to page. Each page's policy allows its own by their hashes, and besides these only
 * the dashboard's files.
 */
export function dashboardFiles(webDir: string): Router {
  const router = Router();
  const notFoundPage = join(webDir, '404.html');
  const fixedNames = join(webDir, '_next', 'static') + sep;
  router.use((_request, response, next) => {
    if (existsSync(join(webDir, 'index.html'))) return next();
    response.status(503).set('Content-Security-Policy', "default-src 'none'").type('html').send(notBuilt);
  });
  router.use(
    preferCompressed(webDir),
    express.static(webDir, {
      setHeaders: (response, file) => {
        const path = file.replace(/\.(br|gz)$/, '');
        if (path.endsWith('.html')) response.setHeader('Content-Security-Policy', policyOf(path));
        // These names contain a hash of the content, so cached files never go stale; pages are always requested again.
        response.setHeader(
          'Cache-Control',
          path.startsWith(fixedNames) ? 'public, max-age=31536000, immutable' : 'no-cache',
        );
      },
    }),
  );
  return router.use((_request, response) => {
    // A compressed copy may have been removed just now.
    response.removeHeader('Content-Encoding');
    if (!existsSync(notFoundPage)) return void response.status(404).type('text').send('There is no such page.');
    response.status(404).set('Content-Security-Policy', policyOf(notFoundPage)).sendFile(notFoundPage);
  });
}

/** File extensions of the build's compressed copies by content coding, best first. */
const extensionOf = { br: '.br', gzip: '.gz' } as const;

/** Redirects a request to a compressed copy, where there is one and the browser accepts its coding. */
function preferCompressed(webDir: string): RequestHandler {
  return (request, response, next) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return next();
    const path = request.path.endsWith('/') ? `${request.path}index.html` : request.path;
    const codings = (['br', 'gzip'] as const).filter((coding) =>
      existsSync(fileOf(webDir, path + extensionOf[coding])),
    );
    if (codings.length === 0) return next();
    response.vary('Accept-Encoding');
    const coding = request.acceptsEncodings([...codings, 'identity']);
    if (coding === 'br' || coding === 'gzip') {
      response.set('Content-Encoding', coding).type(extname(path));
      request.url = path + extensionOf[coding];
    }
    next();
  };
}

/** The file for the path of a request; none outside the folder. */
function fileOf(webDir: string, path: string): string {
  try {
    const file = join(webDir, decodeURIComponent(path));
    return file.startsWith(webDir + sep) ? file : '';
  } catch {
    return '';
  }
}

/** Reads the policy for each page view, so that a dashboard built while the hub runs works at once. */
const policyOf = (path: string): string => policy(readFileSync(path, 'utf8'));

function policy(html: string): string {
  const inline = [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(([, script]) => script!);
  const hashes = new Set(inline.map((script) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`));
  return [
    "default-src 'self'",
    `script-src 'self' ${[...hashes].join(' ')}`,
    // React writes style attributes; they cannot run code.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ');
}

const notBuilt = `<!doctype html><meta charset="utf-8"><title>Plumbline</title>
<h1>The dashboard is not built</h1>
<p>The hub runs and takes data. To build its dashboard stop the hub and start it with <code>npm start</code>,
or run <code>npm run build -w web</code> and start the hub again.</p>`;
