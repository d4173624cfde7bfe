import {
  hasNvidiaDriver,
  NativeSetupError,
  nativeIsSetUp,
  setUpNative,
  type NativePackage,
} from './backend/native-setup.js';

/**
 * Sets up the native backend, with progress on standard output. It takes the GPU's if the machine has an NVIDIA driver
 * or `--gpu` asks for it (images are built on machines without a GPU), and otherwise, or if that fails, the CPU's. If
 * both fail it prints the reason and exits with 1.
 */
const gpu = process.argv.includes('--gpu') || hasNvidiaDriver();
const wanted: NativePackage[] = ['@tensorflow/tfjs-node'];
if (gpu) wanted.unshift('@tensorflow/tfjs-node-gpu');

if (!(await firstThatWorks())) process.exitCode = 1;

async function firstThatWorks(): Promise<boolean> {
  for (const name of wanted) {
    if (nativeIsSetUp(name)) return true;
    try {
      await setUpNative(name, (message) => console.log(`${message} ...`));
      console.log(`The native TensorFlow backend (${name}) is ready.`);
      return true;
    } catch (error) {
      if (!(error instanceof NativeSetupError)) throw error;
      console.log(error.message);
    }
  }
  return false;
}
