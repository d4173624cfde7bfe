/**
 * Shows and focuses the first of what a form marks as wrong, with what is said of it, wherever the form stands. To be
 * called with the errors that mark it, before they are drawn.
 */
export function focusFirstProblem(form: HTMLElement | null): void {
  requestAnimationFrame(() => {
    const wrong = form?.querySelector<HTMLElement>('[aria-invalid="true"]');
    if (!wrong) return;
    wrong.closest('details')?.setAttribute('open', '');
    // A group of radio buttons takes no focus itself.
    const field = wrong.matches('fieldset') ? wrong.querySelector<HTMLElement>('input:checked') : wrong;
    field?.focus({ preventScroll: true });
    // What is said of it stands below and may be beyond the fold.
    const message = document.getElementById(wrong.getAttribute('aria-describedby') ?? '');
    (message ?? wrong).scrollIntoView({ block: 'center' });
    wrong.scrollIntoView({ block: 'nearest' });
  });
}
