import { eventually } from './eventually.js';
import { rawWebSocket, type RawWebSocket } from './raw-websocket.js';

/** A dashboard that can stop reading, like a browser whose page hangs. */
export async function rawDashboard(url: string): Promise<RawWebSocket> {
  const dashboard = await rawWebSocket(url);
  dashboard.send('40/dashboard,');
  await eventually(() => (dashboard.text().includes('40/dashboard,{') ? true : null));
  return dashboard;
}
