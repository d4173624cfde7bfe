'use client';
import { Component, type ErrorInfo, type ReactNode } from 'react';

interface Props {
  /** The name of the panel for its error message, e.g. `Loss`. */
  what: string;
  children: ReactNode;
}

/**
 * Contains the failure of one panel, so that the controls stay on the page whatever a trainer sends. A button retries the
 * panel.
 */
export class PanelBoundary extends Component<Props, { message: string | null }> {
  override state: { message: string | null } = { message: null };

  static getDerivedStateFromError(error: unknown): { message: string } {
    return { message: error instanceof Error ? error.message : String(error) };
  }

  override componentDidCatch(error: unknown, { componentStack }: ErrorInfo): void {
    console.error(`${this.props.what} cannot be drawn:`, error, componentStack);
  }

  override render(): ReactNode {
    const { message } = this.state;
    if (message === null) return this.props.children;
    return (
      <div className="panel notice" data-kind="bad" role="alert" data-testid="panel-failed">
        <p>
          <b>{this.props.what} cannot be drawn.</b> {message}
        </p>
        <button type="button" className="button" onClick={() => this.setState({ message: null })}>
          Try again
        </button>
      </div>
    );
  }
}
