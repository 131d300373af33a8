// What runs in the page, with the objects JupyterLab itself uses. "Idle" in the toolbar shows before
// a session is ready, and a cell that is run then silently does nothing.
window.inPage = (() => {
  const listened = new WeakSet();
  let ending = false;
  let click = 0;
  // The moment the browser got the click, not the moment the page found time for it.
  window.addEventListener('click', event => {
    click = Date.now() - (performance.now() - event.timeStamp);
  }, {capture: true, passive: true});

  const dialog = () => document.querySelector('.jp-Dialog')?.innerText ?? '';

  const frame = () => new Promise(done => requestAnimationFrame(done));

  // JupyterLab covers the page while it starts and while it loads a theme.
  const uncovered = async () => {
    while (document.getElementById('jupyterlab-splash')) await frame();
  };

  const within = (ms, what, promise) => {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => {
        const shown = dialog() && `; a dialog is open: ${dialog()}`;
        reject(new Error(`${what}: not done within ${ms / 1000} s${shown}`));
      }, ms);
    });
    return Promise.race([Promise.resolve(promise), late]).finally(() => clearTimeout(timer));
  };

  const notebooks = () => [...jupyterapp.shell.widgets('main')].filter(w => w.sessionContext);

  const find = path => {
    const panel = notebooks().find(w => w.context.path === path);
    if (!panel) throw new Error(`no notebook is open under ${path || 'any name'}`);
    return panel;
  };

  const cellOf = (path, index) => {
    const cells = find(path).content.widgets;
    if (!cells[index]) throw new Error(`cell ${index}: the notebook has ${cells.length}`);
    return cells[index];
  };

  const errorsOf = cell => (cell.model.outputs?.toJSON() ?? [])
    .filter(output => output.output_type === 'error')
    .map(output => output.traceback.join('\n') || `${output.ename}: ${output.evalue}`).join('\n');

  // An exception in a widget's callback is shown nowhere: say it in the page's console. That the
  // kernel has no such comm is no fault: JupyterLab asks for its widgets before there are any. Nor
  // is what a kernel says while it ends.
  const listen = kernel => {
    if (listened.has(kernel)) return;
    listened.add(kernel);
    kernel.anyMessage.connect((_, {msg, direction}) => {
      const {header, content, parent_header: parent} = msg;
      if (ending || direction !== 'recv' || !/^comm_/.test(parent?.msg_type ?? '')) return;
      if (header.msg_type === 'error') {
        console.error(`callback in the kernel: ${content.traceback.join('\n')}`);
      } else if (header.msg_type === 'stream' && content.name === 'stderr'
          && !content.text.startsWith('No such comm')) {
        console.error(`callback in the kernel: ${content.text}`);
      }
    });
  };

  const ready = async ({context, sessionContext}) => {
    await context.ready;
    await sessionContext.ready;
    const kernel = sessionContext.session.kernel;
    await kernel.info;
    while (kernel.connectionStatus !== 'connected') {
      await new Promise(done => {
        const changed = () => { kernel.connectionStatusChanged.disconnect(changed); done(); };
        kernel.connectionStatusChanged.connect(changed);
      });
    }
    listen(kernel);
  };

  const evaluate = async (path, code) => {
    const kernel = find(path).sessionContext.session.kernel;
    const future = kernel.requestExecute(
      {code, store_history: false, stop_on_error: false, allow_stdin: false});
    let text = '';
    let error = '';
    future.onIOPub = ({header, content}) => {
      if (header.msg_type === 'stream' && content.name === 'stdout') text += content.text;
      else if (header.msg_type === 'execute_result') text += content.data['text/plain'];
      else if (header.msg_type === 'error') error = content.traceback.join('\n');
    };
    const reply = await future.done;
    if (reply.content.status !== 'ok' && !error) error = `the kernel ${reply.content.status}ed`;
    return [text, error];
  };

  const execute = async (cells, command) => {
    for (const cell of cells) cell.model.clearExecution();
    await jupyterapp.commands.execute(command);
    for (const cell of cells) {
      const errors = errorsOf(cell);
      if (errors) return errors;
      if (cell.model.executionCount === null && cell.model.sharedModel.source.trim()) {
        throw new Error(`the cell did not run: ${cell.model.sharedModel.source}`);
      }
    }
    return '';
  };

  return {
    within,

    async started() {
      await jupyterapp.restored;
      jupyterapp.shell.collapseLeft();
      await uncovered();
    },

    async open(path) {
      const panel = await jupyterapp.commands.execute(
        'docmanager:open', {path, factory: 'Notebook'});
      await ready(panel);
    },

    // Notebook 7 opens the notebook of its address by itself.
    async opened(path) {
      while (!notebooks().some(w => w.context.path === path)) await frame();
      await ready(find(path));
    },

    async save(path) {
      await find(path).context.save();
    },

    async restart(path) {
      const panel = find(path);
      ending = true;
      await panel.sessionContext.restartKernel().finally(() => { ending = false; });
      await ready(panel);
      await evaluate(path, '');
    },

    async run(path, index, wait) {
      const panel = find(path);
      const cell = cellOf(path, index);
      jupyterapp.shell.activateById(panel.id);
      panel.content.deselectAll();
      panel.content.activeCellIndex = index;
      const done = execute([cell], 'notebook:run-cell');
      if (wait) return done;
      done.catch(() => {});  // it may be cut short by a restart, or by the end of the test
      while (cell.model.executionState !== 'running' && cell.model.executionCount === null) {
        await frame();
      }
      return '';
    },

    async runAll(path) {
      const panel = find(path);
      jupyterapp.shell.activateById(panel.id);
      const cells = panel.content.widgets.filter(cell => cell.model.type === 'code');
      return execute(cells, 'notebook:run-all-cells');
    },

    outputs(path, index) {
      const text = value => Array.isArray(value) ? value.join('') : value ?? '';
      const cell = cellOf(path, index);
      return cell.model.outputs.toJSON().map(output => {
        if (output.output_type === 'stream') return text(output.text);
        if (output.output_type === 'error') return output.traceback.join('\n');
        return text(output.data['text/plain']);
      }).join('\n');
    },

    evaluate,

    clicked: () => click,

    async setTheme(name) {
      await jupyterapp.commands.execute('apputils:change-theme', {theme: name});
      while (document.body.dataset.jpThemeName !== name) await frame();
      await uncovered();
    },

    pixels(canvas) {
      // A copy is read: reading the canvas itself would change how the browser keeps it.
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
      copy.drawImage(canvas, 0, 0);
      const {data, height, width} = copy.getImageData(0, 0, canvas.width, canvas.height);
      let binary = '';
      for (let start = 0; start < data.length; start += 32768) {
        binary += String.fromCharCode(...data.subarray(start, start + 32768));
      }
      return [height, width, btoa(binary)];
    },

    async clear() {
      ending = true;
      for (const panel of notebooks()) {
        await panel.sessionContext.shutdown();
        panel.context.model.dirty = false;  // nobody is asked whether to save
        panel.dispose();
      }
      ending = false;
      return dialog();
    },
  };
})();
