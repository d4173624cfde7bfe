import { describe, expect, it } from 'vitest';
import { ChartView } from './chart-view';

describe('ChartView', () => {
  it('follows the growing run until zoomed, and again after the zoom ends', () => {
    const view = new ChartView();
    view.setExtent(0, 100);
    expect(view.window).toEqual([0, 100]);
    view.zoomTo(60, 20);
    view.setExtent(0, 120);
    expect(view.window).toEqual([20, 60]);
    view.resetZoom();
    expect(view.window).toEqual([0, 120]);
  });
  it('does not leave the run and does not zoom below two steps', () => {
    const view = new ChartView();
    view.setExtent(10, 50);
    expect(view.zoomTo(-100, 30)).toBe(true);
    expect(view.window).toEqual([10, 30]);
    expect(view.zoomTo(20, 21)).toBe(false);
    expect(view.window).toEqual([10, 30]);
  });
  it('zooms in around the step under the pointer and ends the zoom at the whole run', () => {
    const view = new ChartView();
    view.setExtent(0, 100);
    view.zoomBy(0.5, 80);
    expect(view.window).toEqual([40, 90]);
    view.zoomBy(4, 80);
    expect(view.zoom).toBeNull();
  });
  it('notifies only the listeners of what changed', () => {
    const view = new ChartView();
    let windows = 0;
    let hovers = 0;
    view.onWindow(() => windows++);
    const stop = view.onHover(() => hovers++);
    view.hover(3);
    view.hover(3);
    stop();
    view.hover(4);
    expect([windows, hovers]).toEqual([0, 1]);
  });
});
