"""What the advisor says, in English and in Japanese."""

import os
from typing import Any, Literal, TypeAlias, cast

__all__ = ["LANGUAGES", "Language", "language_of", "say"]

Language: TypeAlias = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = ("en", "ja")


def language_of(asked: str | None = None) -> Language:
    """The one asked for; otherwise that of the environment; otherwise English."""
    told = asked or next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "ja" if told.lower().startswith("ja") else "en"


def say(language: Language, key: str, **data: Any) -> str:
    return _TEXTS[key][LANGUAGES.index(language)].format(**{name: _told(language, v) for name, v in data.items()})


def _told(language: Language, value: Any) -> Any:
    if isinstance(value, list):
        names = [say(language, f"name {name}") for name in cast("list[str]", value)]
        return ("、" if language == "ja" else ", ").join(names)
    return value


_TEXTS: dict[str, tuple[str, str]] = {
    # approaches and topologies
    "approach crud": ("simple CRUD", "単純な CRUD"),
    "approach staged": ("staged CQRS", "段階的 CQRS"),
    "approach full": ("full CQRS", "完全な CQRS"),
    "approach edge": ("CQRS + CDN/cache", "CQRS + CDN・キャッシュ"),
    "topology crud": ("one primary, plain app servers", "プライマリ 1 台と普通のアプリケーションサーバー"),
    "topology 1:1": (
        "load balancer, app servers, primary; read views beside the write tables",
        "ロードバランサー、アプリケーションサーバー、プライマリ。読み取りビューは書き込み側の隣に置く",
    ),
    "topology 10:1": (
        "command service and primary; query services, each on a read replica",
        "コマンドサービスとプライマリ、リードレプリカを持つクエリサービス群",
    ),
    "topology 100:1": (
        "edge cache, query services on NoSQL views and a search engine; writes centralised",
        "エッジキャッシュ、NoSQL ビューと検索エンジンの上のクエリサービス群。書き込みは一か所に集める",
    ),
    "events must": ("must", "必須"),
    "events recommended": ("recommended", "推奨"),
    "events optional": ("optional", "任意"),
    "events not needed": ("not needed", "不要"),
    # names of criteria
    "name ratio": ("read/write ratio", "読み書き比率"),
    "name views": ("views", "ビュー"),
    "name scalability": ("scalability", "スケーラビリティ"),
    "name performance": ("performance", "性能"),
    "name tolerance": ("complexity tolerance", "複雑さの許容度"),
    "name domain": ("domain complexity", "ドメインの複雑さ"),
    "name audit": ("audit", "監査"),
    "name use case": ("use case", "ユースケース"),
    "name events": ("event sourcing", "イベントソーシング"),
    # the ratio
    "band below": (
        "it is written more often than read; the rule begins at 1:1, and CQRS for the sake of reads is excessive",
        "読み取りより書き込みのほうが多い。規則は 1:1 から始まり、読み取りのための CQRS は過剰",
    ),
    "band crud": (
        "1:1 to 3:1: CQRS is excessive; read replicas suffice",
        "1:1〜3:1：CQRS は過剰。リードレプリカで足りる",
    ),
    "band between": (
        "the rule says nothing between 3:1 and 5:1; the other criteria decide",
        "3:1 と 5:1 の間について規則は何も言わない。ほかの基準で決める",
    ),
    "band staged": (
        "5:1 to 10:1: separate only the read views, writes as before",
        "5:1〜10:1：読み取りビューだけを分け、書き込みは今までどおり",
    ),
    "band full": (
        "10:1 to 100:1: complete separation, several read models",
        "10:1〜100:1：完全に分離し、複数の読み取りモデルを持つ",
    ),
    "band edge": (
        "100:1 and above: CQRS is a must; cache reads at the edge, writes centralised",
        "100:1 以上：CQRS は必須。読み取りはエッジでキャッシュし、書き込みは一か所に集める",
    ),
    "band unwritten": (
        "it was read and never written while it was looked at: cache reads at the edge",
        "見ていた間、読まれるだけで書き込みは一度もなかった。エッジでキャッシュする",
    ),
    "band unknown": ("nothing is known of reads and writes", "読み書きの回数がわからない"),
    "ratio unknown": (
        "the ratio is not known, so at most what the other criteria ask for; measure it",
        "比率がわからないので、ほかの基準が求める分だけにとどめる。測ること",
    ),
    "gap between": (
        "in the gap between 3:1 and 5:1, decided by {needs}: read views of their own",
        "3:1 と 5:1 の隙間：{needs}により、読み取りビューを分ける",
    ),
    "gap between alone": (
        "in the gap between 3:1 and 5:1 nothing else asks for CQRS, so the simpler one",
        "3:1 と 5:1 の隙間で、ほかに CQRS を求める基準がないので、単純なほうにする",
    ),
    "needs raise": (
        "the ratio alone would not, but {needs} ask for views of their own",
        "比率だけなら不要だが、{needs}が専用のビューを求める",
    ),
    "needs do not suffice": (
        "{needs} would ask for it, which at so few reads per write is not enough",
        "{needs}は CQRS を求めるが、この比率ではそれだけでは足りない",
    ),
    # criteria
    "views yes": ("several different views of the same data", "同じデータに複数の異なるビュー"),
    "views no": ("one view serves all", "ビューは一つで足りる"),
    "scalability yes": ("reads and writes need different strategies", "読み取りと書き込みに別々の戦略が要る"),
    "scalability no": ("uniform scaling is enough", "一様なスケーリングで足りる"),
    "performance yes": ("reads must answer in under 100 ms", "読み取りは 100 ms 未満で答えなければならない"),
    "performance no": ("ordinary response times will do", "普通の応答時間でよい"),
    "tolerance yes": ("eventual consistency and events are acceptable", "結果整合性とイベント駆動を受け入れられる"),
    "tolerance no": ("simplicity and immediate consistency come first", "単純さと即時の整合性を優先する"),
    "domain yes": ("complex business logic", "複雑な業務ロジック"),
    "domain no": ("simple CRUD", "単純な CRUD"),
    "audit yes": ("the full history of changes is needed", "変更の全履歴が必要"),
    "audit no": ("the current state is enough", "現在の状態で足りる"),
    "scaling raises": (
        "reads and writes are to be scaled apart, and that is not the only need: a separate query side",
        "読み書きを別々にスケールする必要があり、ほかの理由もあるので、クエリ側を分ける",
    ),
    "immediate lowers": (
        "replicas lag, so only the views are separated, and committed with the events (`inline=True`)",
        "レプリカは遅れるので、ビューだけを分け、イベントと一緒にコミットする（`inline=True`）",
    ),
    "immediate inline": (
        "views committed with the events (`inline=True`) are consistent at once",
        "イベントと一緒にコミットするビュー（`inline=True`）なら、すぐに整合する",
    ),
    "immediate at the edge": (
        "at this ratio there is no way round it: whoever has written reads with the token of his receipt, "
        "all others may see what was a moment ago",
        "この比率では避けられない。書いた人は受領書のトークンを添えて読み、ほかの人は一瞬前の内容を見ることがある",
    ),
    "events need views": (
        "what is kept as events is read through views made of them",
        "イベントとして保存したものは、そこから作るビューを通して読む",
    ),
    # event sourcing
    "use case financial": ("financial transactions: full history, audit", "金融取引：完全な履歴と監査"),
    "use case orders": ("order management: track status changes", "注文管理：状態の変化を追う"),
    "use case inventory": ("inventory: stock movements, stocktaking", "在庫管理：入出庫と棚卸し"),
    "use case authentication": (
        "user authentication: login history is useful, the profile is not",
        "ユーザー認証：ログイン履歴は有用、プロフィールは不要",
    ),
    "use case master data": ("master data: not needed", "マスターデータ：不要"),
    "use case unknown": (
        "neither the use case nor the need for audit is known",
        "ユースケースも監査の要否もわからない",
    ),
    "guessed": ("guessed from the name; say otherwise in the answers", "名前からの推測。違えば回答で指定する"),
    "audit raises": (
        "its kind would not need events, but the full history is asked for",
        "この種のものには不要だが、全履歴が求められている",
    ),
    "audit alone": (
        "the full history of changes is needed: keep the changes",
        "全履歴が必要なので、変更そのものを保存する",
    ),
    "audit not needed": ("the current state is enough", "現在の状態で足りる"),
    "audit does not lower": (
        "current state was said to be enough, but money needs its history",
        "現在の状態で足りるとのことだが、金銭には履歴が必要",
    ),
    # what to do
    "do crud": ("`Crud(Row)`: a table, no events", "`Crud(Row)`：イベントのない表"),
    "do state": (
        '`Aggregate(persistence="state")`: the current state in a row, events published for the views',
        '`Aggregate(persistence="state")`：現在の状態を行に持ち、イベントはビューのために発行する',
    ),
    "do events": (
        '`Aggregate(persistence="events")`: the events are what is kept',
        '`Aggregate(persistence="events")`：イベントそのものを保存する',
    ),
    "do authentication": (
        'login history: `Aggregate(persistence="events")`; profile: `Crud(Row)`',
        'ログイン履歴：`Aggregate(persistence="events")`、プロフィール：`Crud(Row)`',
    ),
    "do views": ("`@projection` for each view", "ビューごとに `@projection`"),
    "do inline": ("`@projection(..., inline=True)`", "`@projection(..., inline=True)`"),
    "do replicas": (
        "`App(read_from=[...])`: query services on replicas",
        "`App(read_from=[...])`：レプリカの上のクエリサービス",
    ),
    "do edge": (
        "`App(edge=...)` and `@query_handler(cache=Cache(seconds={seconds:g}, edge={edge:g}))`",
        "`App(edge=...)` と `@query_handler(cache=Cache(seconds={seconds:g}, edge={edge:g}))`",
    ),
    # what would change
    "change": ("{criterion} = {to}: {what}", "{criterion} = {to}：{what}"),
    "change up": (
        "from {reads:,.0f} reads a minute at these writes ({ratio}:1): {what}",
        "書き込みがこのままで読み取りが毎分 {reads:,.0f} 件（{ratio}:1）になれば：{what}",
    ),
    "change down": (
        "below {reads:,.0f} reads a minute at these writes ({ratio}:1): {what}",
        "書き込みがこのままで読み取りが毎分 {reads:,.0f} 件（{ratio}:1）を下回れば：{what}",
    ),
    "change ratio": ("at {ratio}:1: {what}", "{ratio}:1 になれば：{what}"),
    "change events": ("event sourcing {events}", "イベントソーシングは{events}"),
    # sizing
    "load unknown": (
        "reads and writes a minute are not known, so nothing is counted; give `reads` and `writes`",
        "毎分の読み書きがわからないので、台数は計算しない。`reads` と `writes` を指定する",
    ),
    "today": (
        "for the load alone ({reads:,.0f} reads and {writes:,.0f} writes a minute) topology {topology} would do today: "
        "one may begin there, the code stays the same",
        "負荷（毎分 読み取り {reads:,.0f}、書き込み {writes:,.0f}）だけを見れば、今は構成 {topology} でも足りる。"
        "そこから始めても、コードは変わらない",
    ),
    "assumed": ("assumed: {what}", "仮定：{what}"),
    "assumed keys": (
        "{keys:,} different things are read, by Zipf's law with exponent {zipf:g}",
        "読まれるものは {keys:,} 種類、Zipf の法則（指数 {zipf:g}）に従う",
    ),
    "assumed capacity": ("capacities of one process, {source}", "1 プロセスあたりの能力は {source}"),
    "assumed utilisation": (
        "no instance is busier than {utilisation:.0%}",
        "どのインスタンスも使用率 {utilisation:.0%} を超えない",
    ),
    "assumed spare": (
        "one instance more of each lets one of them fail",
        "それぞれもう 1 台あれば、1 台が故障してもよい",
    ),
    "whole": ("the whole", "全体"),
    # what is printed
    "told measured": (
        "{source}: {reads:,} reads and {writes:,} writes",
        "{source}：読み取り {reads:,}、書き込み {writes:,}",
    ),
    "told refused": ("{count:,} requests that ended with an error are left out", "エラーになった {count:,} 件を除く"),
    "told ignored": ("{count:,} of no entity", "どのエンティティでもないもの {count:,} 件"),
    "told unreadable": ("{count:,} lines cannot be understood", "理解できない行 {count:,}"),
    "told must": ("a must", "必須"),
    "told why": ("why", "理由"),
    "told do": ("do", "すること"),
    "told would change": ("this would change the answer", "答えが変わる条件"),
    "told shape": ("topology", "構成"),
    "told topology": ("topology {topology}: {name}", "構成 {topology}：{name}"),
    "told needs": ("in the busiest minute", "最も混む 1 分に必要なもの"),
    "told edge_caches": ("{count} edge cache(s)", "エッジキャッシュ {count}"),
    "told query_services": ("{count} query service(s)", "クエリサービス {count}"),
    "told replicas": ("{count} replica(s)", "レプリカ {count}"),
    "told command_services": ("{count} command service(s)", "コマンドサービス {count}"),
    "told app_servers": ("{count} app server(s)", "アプリケーションサーバー {count}"),
    "told primaries": ("{count} primary", "プライマリ {count}"),
    "told hits": ("the edge answers {share:.1%} of reads", "エッジが読み取りの {share:.1%} に答える"),
    "told ttl": (
        "kept {edge:g} s at the edge, {seconds:g} s elsewhere",
        "エッジで {edge:g} 秒、ほかでは {seconds:g} 秒保持する",
    ),
    "told primary": ("the primary is busy {share:.1%} of the time", "プライマリの使用率 {share:.1%}"),
    "told wrote": ("written to {folder}: {files}", "{folder} に書き出した：{files}"),
    # questions
    "ask entity": ("Name of an entity (order, product, ...)", "エンティティの名前（order、product など）"),
    "ask next entity": ("Another entity (Enter: no more)", "次のエンティティ（Enter：終わり）"),
    "ask reads": ("{entity}: reads a minute (Enter: not known)", "{entity}：毎分の読み取り回数（Enter：不明）"),
    "ask writes": ("{entity}: writes a minute", "{entity}：毎分の書き込み回数"),
    "ask views": (
        "Views: several different ones (dashboard, report, search), or one?",
        "ビュー：複数の異なるもの（ダッシュボード、レポート、検索）か、一つか",
    ),
    "ask scalability": (
        "Scaling: do reads and writes need separate strategies, or is uniform scaling enough?",
        "スケーラビリティ：読み取りと書き込みに別々の戦略が要るか、一様でよいか",
    ),
    "ask performance": (
        "Performance: must reads answer in under 100 ms, or are ordinary times enough?",
        "性能：読み取りは 100 ms 未満か、普通の応答時間でよいか",
    ),
    "ask tolerance": (
        "Is eventual consistency acceptable, or does immediate consistency come first?",
        "結果整合性を受け入れられるか、即時の整合性を優先するか",
    ),
    "ask domain": (
        "Domain: complex business logic, or simple CRUD?",
        "ドメイン：複雑な業務ロジックか、単純な CRUD か",
    ),
    "ask audit": (
        "Audit: is the full history of changes needed, or the current state enough?",
        "監査：変更の全履歴が必要か、現在の状態で足りるか",
    ),
    "ask use case": ("Which of these is it most like?", "次のどれに最も近いか"),
}
