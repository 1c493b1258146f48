"""Two pages without scripts: the key, please; and: no."""

from html import escape

from daicho.core.errors import DaichoError

__all__ = ["login_page", "refused_page"]

_STYLE = """
:root{color-scheme:light dark}*{box-sizing:border-box}
body{font:15px/1.5 system-ui,"Noto Sans CJK JP",sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;
background:#f4f6f9;color:#1b2430}
main{width:min(26rem,92vw);background:#fff;border:1px solid #dde3ea;border-radius:12px;padding:2rem}
h1{font-size:1.3rem;margin:0 0 1rem}label{display:block;font-weight:600;margin-bottom:.35rem}
input,button{width:100%;font:inherit;padding:.6rem .7rem;border-radius:8px;border:1px solid #b9c3cf;background:inherit;
color:inherit}
button{margin-top:1rem;background:#2457d6;border-color:#2457d6;color:#fff;font-weight:600;cursor:pointer}
.no{border-left:4px solid #c62828;padding:.5rem .8rem;background:#fdecea;color:#7a1512;margin-bottom:1rem}
code{font:13px ui-monospace,monospace}.hint{color:#5a6675;font-size:.9rem}
@media(prefers-color-scheme:dark){body{background:#10151c;color:#e4e9ef}main{background:#171e27;border-color:#2b3644}
input{border-color:#44525f}.no{background:#3a1b1b;color:#ffc9c4}.hint{color:#9aa7b5}}
"""
_TEXTS = {
    "en": ("Daicho console", "API key or token", "Log in", "A key for the console is made by"),
    "ja": ("Daicho コンソール", "APIキーまたはトークン", "ログイン", "コンソール用のキーは次のコマンドで作ります:"),
}


def login_page(root: str, where: str, language: str, error: DaichoError | None = None) -> str:
    title, label, button, hint = _TEXTS[language]
    told = (
        f'<div class="no" role="alert"><b>{escape(error.what)}</b><br>{escape(error.do or "")}</div>' if error else ""
    )
    return _page(
        title,
        f'{told}<form method="post" action="{escape(root)}/login"><label for="key">{label}</label>'
        f'<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>'
        f'<input type="hidden" name="next" value="{escape(where)}"><button>{button}</button></form>'
        f'<p class="hint">{hint}<br><code>daicho key create NAME --scope console:operator</code></p>',
        language,
    )


def refused_page(reason: str) -> str:
    return _page("Daicho", f'<div class="no" role="alert">{escape(reason)}</div>', "en")


def _page(title: str, body: str, language: str) -> str:
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<main><h1>{escape(title)}</h1>{body}</main></html>"
    )
