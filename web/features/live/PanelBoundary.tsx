'use client';
import { Component, type ErrorInfo, type ReactNode } from 'react';

interface Props {
  /** What is missing where it fails, e.g. `Loss`. */
  what: string;
  children: ReactNode;
}

/**
 * Keeps the failure of one panel from the rest of the page, so that the controls stay whatever a trainer sends. A panel
 * that has failed is tried again when asked for.
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
