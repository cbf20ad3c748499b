export { queueDeliveries } from './queue-deliveries.ts';
