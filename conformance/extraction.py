#!/usr/bin/env python3
"""Compares what the server and the reference read from documents.

    conformance/extraction.py [--oui target/debug/oui] [FOLDER]

Without a folder a corpus is made in a temporary one: documents written by the usual libraries, pages printed by
Chromium, and files of installed packages. Runs with the reference's Python (see reference.sh), which it looks for by
itself. A document passes when our text has at least 98 of 100 of the reference's words (counted as often as they
occur). Prints a line per document and the time of both, and fails if one does not pass.
"""

import argparse
import collections
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HOME = os.environ.get('OUI_REFERENCE_HOME', os.path.expanduser('~/.cache/oui-reference'))
PYTHON = f'{HOME}/venv-0.12.4/bin/python'
NEEDED = 0.98
if os.path.realpath(sys.prefix) != os.path.realpath(f'{HOME}/venv-0.12.4'):
    os.execv(PYTHON, [PYTHON, *sys.argv])

WORDS = re.compile(r'\w+')
TYPES = {
    'docx': 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
    'pptx': 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
    'xlsx': 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
    'html': 'text/html', 'pdf': 'application/pdf', 'csv': 'text/csv', 'txt': 'text/plain', 'md': 'text/markdown',
}


def prose(count, offset=0):
    """Paragraphs of the licences and manuals that every system has."""
    found = []
    for path in sorted(glob.glob('/usr/share/common-licenses/*') + glob.glob('/usr/share/perl/5*/pod/*.pod')):
        if os.path.isfile(path):
            text = open(path, errors='replace').read()
            found += [' '.join(part.split()) for part in text.split('\n\n') if len(part) > 80]
    return [found[(offset + i) % len(found)] for i in range(count)]


def make(folder):
    from docx import Document
    from openpyxl import Workbook
    from pptx import Presentation
    from pptx.util import Inches

    for n in range(6):
        document = Document()
        document.add_heading(f'Report {n}: Übersicht & “quotes”', 0)
        for i, text in enumerate(prose(20 + 10 * n, n * 50)):
            if i % 5 == 0:
                document.add_heading(f'Section {i}', 1 + i % 3)
            paragraph = document.add_paragraph(text)
            paragraph.add_run(' bold').bold = True
            if i % 7 == 0:
                document.add_paragraph('first\tsecond', style='List Bullet')
        table = document.add_table(rows=4, cols=3)
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                cell.text = f'cell {r} {c} naïve'
        document.sections[0].header.paragraphs[0].text = f'Header {n}'
        document.sections[0].footer.paragraphs[0].text = f'Footer {n}'
        document.save(f'{folder}/report{n}.docx')
    for n in range(4):
        show = Presentation()
        for i, text in enumerate(prose(6 + n, n * 30)):
            slide = show.slides.add_slide(show.slide_layouts[1])
            slide.shapes.title.text = f'Slide {i} — café'
            slide.placeholders[1].text = text
            box = slide.shapes.add_textbox(Inches(1), Inches(5), Inches(4), Inches(1))
            box.text_frame.text = f'Box {i}'
            box.text_frame.add_paragraph().text = 'another line'
        show.save(f'{folder}/show{n}.pptx')
    for n in range(4):
        book = Workbook()
        for s in range(n + 1):
            sheet = book.active if s == 0 else book.create_sheet(f'Data {s}')
            sheet.append(['Name', 'Count', 'Share', 'Note'])
            for i, text in enumerate(prose(30, s * 10 + n)):
                sheet.append([f'row {i}', i * 3, i / 4 + 0.5, text[:60]])
        book.save(f'{folder}/book{n}.xlsx')
    for n in range(5):
        body = ''.join(f'<h2>Part {i}</h2><p>{t}</p>' for i, t in enumerate(prose(12 + n * 8, n * 20)))
        page = (f'<!doctype html><html lang=en><head><meta charset=utf-8><title>Page {n}</title><style>p{{color:#222}}</style>'
                f'<script>var a = "hidden";</script></head><body><h1>Page {n} – “typographic” ﬁne</h1>{body}'
                f'<table><tr><td>a</td><td>b</td></tr></table></body></html>')
        open(f'{folder}/page{n}.html', 'w').write(page)
        chromium = shutil.which('chromium') or shutil.which('google-chrome')
        if chromium:
            subprocess.run([chromium, '--headless', '--no-sandbox', '--disable-gpu', '--no-pdf-header-footer',
                            f'--print-to-pdf={folder}/printed{n}.pdf', f'file://{folder}/page{n}.html'],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    with open(f'{folder}/table.csv', 'w') as file:
        file.write('name,quote,number\n' + ''.join(f'row{i},"{t[:80].replace(chr(34), "")}",{i}\n' for i, t in enumerate(prose(60))))
    texts = {
        'latin.txt': ('Le café est fermé. Où est la bibliothèque? Déjà vu, garçon!\n' * 20, 'cp1252'),
        'chinese.txt': ('这是一个用中文写的文件，里面有很多汉字，用来测试编码的识别。\n' * 20, 'gb18030'),
        'japanese.txt': ('これは日本語で書かれたファイルです。文字コードの判定を試します。\n' * 20, 'cp932'),
        'korean.txt': ('이것은 한국어로 작성된 파일입니다. 문자 인코딩을 시험합니다.\n' * 20, 'euc-kr'),
        'russian.txt': ('Это файл на русском языке, по нему узнаётся кодировка.\n' * 20, 'cp1251'),
        'plain.md': ('# Title\n\n' + '\n\n'.join(prose(20)), 'utf-8'),
    }
    for name, (text, encoding) in texts.items():
        open(f'{folder}/{name}', 'wb').write(text.encode(encoding))
    installed = {'pdf': ['/usr/share/doc/**/*.pdf'], 'html': ['/usr/share/doc/**/*.html'], 'xml': ['/usr/share/mime/packages/*.xml'],
                 'rst': [f'{HOME}/venv-0.12.4/lib/python3*/site-packages/**/*.rst'], 'py': ['/usr/lib/python3*/json/*.py']}
    for kind, patterns in installed.items():
        found = sorted(path for pattern in patterns for path in glob.glob(pattern, recursive=True) if os.path.getsize(path) < 3_000_000)
        for path in found[:: max(1, len(found) // 4)][:4]:
            shutil.copy(path, f'{folder}/installed-{os.path.basename(path)}')


def ours(program, path, kind):
    job = {'path': path, 'name': os.path.basename(path), 'content_type': kind,
           'settings': {'single_page': False, 'max_megabytes': None}}
    done = subprocess.run([program, 'extract-worker'], input=json.dumps(job).encode(), capture_output=True)
    answer = json.loads(done.stdout)
    if 'Err' in answer:
        return f'refused: {answer["Err"]}'
    return ' '.join(document['text'] for document in answer['Ok'])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--oui', default='target/debug/oui')
    parser.add_argument('folder', nargs='?')
    args = parser.parse_args()
    folder = args.folder
    if not folder:
        folder = tempfile.mkdtemp(prefix='oui-corpus-')
        make(folder)
    os.environ.setdefault('DATA_DIR', tempfile.mkdtemp())
    os.environ.setdefault('WEBUI_SECRET_KEY', 'extraction')
    os.environ.setdefault('OFFLINE_MODE', 'true')
    # Where its command would look; without it the package refuses to be imported.
    client = glob.glob(f'{HOME}/venv-0.12.4/lib/python3*/site-packages/open_webui/frontend')
    os.environ.setdefault('FRONTEND_BUILD_DIR', client[0])
    os.environ.setdefault('STATIC_DIR', tempfile.mkdtemp())
    from open_webui.retrieval.loaders.main import Loader

    settings = collections.defaultdict(str, {'rag.pdf_loader_mode': 'page', 'rag.file.max_size': None})
    loader = Loader(settings)
    failed, times = 0, [0.0, 0.0]
    paths = sorted(path for path in glob.glob(f'{folder}/*') if os.path.isfile(path))
    for path in paths:
        kind = TYPES.get(path.rsplit('.', 1)[-1])
        begun = time.monotonic()
        try:
            theirs = ' '.join(document.page_content for document in loader.load(os.path.basename(path), kind, path))
        except Exception as error:
            print(f'   -    {os.path.basename(path)}: the reference can not read it ({error})')
            continue
        between = time.monotonic()
        mine = ours(args.oui, path, kind)
        took = [between - begun, time.monotonic() - between]
        times = [a + b for a, b in zip(times, took)]
        wanted, have = (collections.Counter(WORDS.findall(text.lower())) for text in (theirs, mine))
        common = sum(min(count, have[word]) for word, count in wanted.items())
        recall = common / max(1, sum(wanted.values()))
        failed += recall < NEEDED
        mark = 'ok' if recall >= NEEDED else '!!'
        print(f'{mark} {recall:7.2%} {took[0]:6.2f} s {took[1]:6.2f} s  {os.path.basename(path)}')
    print(f'{len(paths)} documents, {failed} below {NEEDED:.0%}; reference {times[0]:.1f} s, server {times[1]:.1f} s')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
