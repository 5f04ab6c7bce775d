/** The token of this tab, and the colours that were chosen. */

const TOKEN = 'keymux-token';
const SCHEME = 'keymux-colours';

/** From the address (`#token=…`, which is taken out of it at once), or as it was given earlier in this tab. */
export function findToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get('token');
  if (given !== null) {
    history.replaceState(null, '', location.pathname);
    if (given !== '') sessionStorage.setItem(TOKEN, given);
  }
  return sessionStorage.getItem(TOKEN) ?? undefined;
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function forgetToken() {
  sessionStorage.removeItem(TOKEN);
}

/** `system`, `light` or `dark`, now and at the next visit. */
export function useScheme(select) {
  const apply = (scheme) => {
    if (scheme === 'light' || scheme === 'dark') document.documentElement.dataset.scheme = scheme;
    else delete document.documentElement.dataset.scheme;
  };
  select.value = localStorage.getItem(SCHEME) ?? 'system';
  apply(select.value);
  select.addEventListener('change', () => {
    localStorage.setItem(SCHEME, select.value);
    apply(select.value);
  });
}
