/** Socket.IO's polling transport, request by request, for messages that no correct client sends. */
export class PollingClient {
  private constructor(
    readonly url: string,
    readonly sid: string,
    readonly headers: Record<string, string>,
  ) {}

  /** @throws Error when the hub refuses the connection */
  static async open(hubUrl: string, headers: Record<string, string> = {}): Promise<PollingClient> {
    const url = `${hubUrl}/socket.io/?EIO=4&transport=polling`;
    const response = await fetch(url, { headers });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return new PollingClient(url, (JSON.parse(text.slice(1)) as { sid: string }).sid, headers);
  }

  /** Sends packets; `40/namespace,` joins a namespace. */
  post(packets: readonly string[]): Promise<Response> {
    return fetch(this.#address, { method: 'POST', body: packets.join('\x1e'), headers: this.headers });
  }

  /** Waits for packets of the hub. */
  async poll(): Promise<string> {
    return (await fetch(this.#address, { headers: this.headers })).text();
  }

  get #address(): string {
    return `${this.url}&sid=${this.sid}`;
  }
}
