import { Router, type Request, type RequestHandler } from 'express';
import { SessionRequest, type SessionInfo } from '@plumbline/shared/http';
import { howToControl, linkCommand } from '../access/how-to-control.js';
import { sessionLifeMs, type Sessions } from '../access/sessions.js';
import { sameSecret } from '../access/trainer-token.js';
import { Refusal } from '../run/refusal.js';
import { limited } from './rate-limit.js';

/** GET, POST and DELETE /api/session: may this browser control; a link's token for a cookie; giving it up. */
export function sessionRoutes({ sessions }: { sessions: Sessions }): Router {
  return Router()
    .get('/session', (request, response) => {
      const mayControl = sessions.mayControl(request.headers.cookie);
      response.json((mayControl ? { mayControl } : readOnly(sessions)) satisfies SessionInfo);
    })
    .post('/session', limited(30), (request, response) => {
      const id = sessions.open(SessionRequest.parse(request.body).token);
      if (id === null)
        throw new Refusal(
          'unauthorized',
          "This link was used already, is more than a day old, or never was one of this hub's; " +
            `${linkCommand(sessions.dataDir)} prints a new one.`,
        );
      response.cookie(sessions.cookieName, id, {
        httpOnly: true,
        sameSite: 'strict',
        secure: request.secure,
        maxAge: sessionLifeMs,
        path: '/',
      });
      response.json({ mayControl: true } satisfies SessionInfo);
    })
    .delete('/session', (request, response) => {
      sessions.close(request.headers.cookie);
      response.clearCookie(sessions.cookieName, { path: '/' });
      response.json(readOnly(sessions) satisfies SessionInfo);
    });
}

const readOnly = ({ dataDir }: Sessions): SessionInfo => ({ mayControl: false, howToControl: howToControl(dataDir) });

/** The secret that a program shows as `Authorization: Bearer`. */
export const bearerOf = ({ headers }: Request): string | undefined =>
  /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];

/** Lets browsers with a session pass, and programs that show the trainer token as `Authorization: Bearer`. */
export function mayOperate(sessions: Sessions, token: string): RequestHandler {
  return (request, response, next) => {
    const given = bearerOf(request);
    if (given === undefined && sessions.mayControl(request.headers.cookie)) return next();
    if (given === undefined)
      return next(
        new Refusal(
          'forbidden',
          isBrowser(request)
            ? howToControl(sessions.dataDir)
            : "Show the hub's trainer token, as `Authorization: Bearer`; it is in the hub's data folder, trainer-token.",
        ),
      );
    next(
      sameSecret(given, token)
        ? undefined
        : new Refusal('unauthorized', "The token is wrong; it is in the hub's data folder, trainer-token."),
    );
  };
}

/** Lets only sessions pass. */
export function mayControl(sessions: Sessions): RequestHandler {
  return (request, _response, next) => {
    if (sessions.mayControl(request.headers.cookie)) return next();
    next(
      new Refusal(
        'forbidden',
        isBrowser(request)
          ? howToControl(sessions.dataDir)
          : "This takes a session; the trainer token is not enough. POST /api/session gives one for a link's token, " +
              `which ${linkCommand(sessions.dataDir)} prints.`,
      ),
    );
  };
}

/** A browser says where a request comes from; programs that are none do not. */
const isBrowser = ({ headers }: Request): boolean =>
  headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
