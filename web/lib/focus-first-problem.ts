/**
 * Scrolls to the first field that a form marks as wrong, with its message, and focuses it. Call it when the errors are
 * set, before they are drawn.
 */
export function focusFirstProblem(form: HTMLElement | null): void {
  requestAnimationFrame(() => {
    const wrong = form?.querySelector<HTMLElement>('[aria-invalid="true"]');
    if (!wrong) return;
    wrong.closest('details')?.setAttribute('open', '');
    // A group of radio buttons cannot take the focus itself.
    const field = wrong.matches('fieldset') ? wrong.querySelector<HTMLElement>('input:checked') : wrong;
    field?.focus({ preventScroll: true });
    // The message stands below the field and may be out of sight.
    const message = document.getElementById(wrong.getAttribute('aria-describedby') ?? '');
    (message ?? wrong).scrollIntoView({ block: 'center' });
    wrong.scrollIntoView({ block: 'nearest' });
  });
}
