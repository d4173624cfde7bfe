import type { Metadata, Viewport } from 'next';
import { TopBar } from './TopBar';
import { WatchGate } from './WatchGate';
import './globals.css';

export const metadata: Metadata = {
  title: 'Plumbline',
  description: 'Watch and steer bias drift while a multimodal model is fine-tuned',
};
export const viewport: Viewport = { width: 'device-width', initialScale: 1 };

/** Before the first paint, so that no page flashes in the other theme. */
const themeScript = `var t;try{t=localStorage.getItem('plumbline-theme')}catch(e){}document.documentElement.dataset.theme=t==='light'||t==='dark'?t:matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light'`;

export default function RootLayout({ children }: { children: React.ReactNode }): React.ReactNode {
  return (
    <html lang="en" suppressHydrationWarning>
      <head>
        <script dangerouslySetInnerHTML={{ __html: themeScript }} />
      </head>
      <body>
        <a href="#controls" className="skip-link">
          Skip to the controls
        </a>
        <TopBar />
        <WatchGate>{children}</WatchGate>
      </body>
    </html>
  );
}
